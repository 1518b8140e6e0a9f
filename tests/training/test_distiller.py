"""Student and objective as one module."""

import torch

from wcord.data.batch import Batch
from wcord.features import capture
from wcord.methods.build import build_objective
from wcord.methods.observe import observe
from wcord.models.create import create_model
from wcord.models.network import Network
from wcord.models.preprocess import Preprocess
from wcord.training.distiller import Distiller


def test_heads_are_trained_with_the_student_and_hits_are_counted() -> None:
    torch.manual_seed(0)
    student = Network(create_model("resnet8", num_classes=3), Preprocess((0.5,) * 3, (0.5,) * 3))
    setting = observe(student, student, num_samples=9)
    objective = build_objective("crd", setting, options={"crd": {"num_negatives": 4}})
    images, target = torch.rand(4, 3, 16, 16), torch.tensor([0, 1, 2, 0])
    with capture(student) as tap:
        distiller = Distiller(student, objective, tap)
        names = {name.partition(".")[0] for name, _ in distiller.named_parameters()}
        assert names == {"student", "objective"}
        # Memories are alike in all processes; what DDP sends at each step are the student's statistics alone.
        left_alone = set(distiller._ddp_params_and_buffers_to_ignore)
        assert left_alone == {name for name, _ in distiller.named_buffers() if name.startswith("objective.")}
        assert any("memory" in name for name in left_alone)
        batch = Batch(images, images, target, torch.arange(4))
        report, correct = distiller(batch, None)
        assert set(report.parts) == {"ce", "crd"}
        distiller.eval()
        expected = (student(images).argmax(1) == target).sum()
        assert distiller(batch, None)[1] == expected
        assert 0 <= correct <= 4


def test_hits_are_counted_on_upright_rows() -> None:
    torch.manual_seed(0)
    student = Network(create_model("resnet8", num_classes=3), Preprocess((0.5,) * 3, (0.5,) * 3))
    objective = build_objective("ce", observe(student, student))
    images, target = torch.rand(4, 3, 16, 16), torch.tensor([0, 1, 2, 0])
    with capture(student) as tap:
        distiller = Distiller(student, objective, tap).eval()
        report, correct = distiller(Batch(images, images, target).rotated(), None)
        plain, hits = distiller(Batch(images, images, target), None)
    assert correct == hits
    torch.testing.assert_close(report.parts["ce"], plain.parts["ce"])
