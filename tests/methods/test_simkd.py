"""SimKD: the student is changed, only the projector's loss counts, and the teacher's classifier stays as it is."""

import pytest
import torch
import torch.nn.functional as F

from wcord.checks import UsageError
from wcord.data.batch import Batch
from wcord.features import capture
from wcord.methods.observe import observe
from wcord.methods.simkd import SimKDTerm, adapt_student
from wcord.models.create import create_model
from wcord.models.network import Network
from wcord.models.preprocess import Preprocess
from wcord.models.simkd import SimKDStudent

IMAGES = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
BATCH = Batch(IMAGES, IMAGES, torch.arange(4))


@pytest.mark.parametrize("names", [("resnet8", "resnet8x4"), ("ShuffleV2", "wrn_16_2"), ("wrn_16_1", "vgg8")])
def test_the_loss_is_that_of_both_maps_at_the_smaller_size(names: tuple[str, str]) -> None:
    torch.manual_seed(0)
    student, teacher = create_model(names[0], num_classes=7), create_model(names[1], num_classes=7).eval()
    adapted = adapt_student(student, teacher, IMAGES)
    assert isinstance(adapted, SimKDStudent)
    term = SimKDTerm("simkd", observe(adapted, teacher, student_sample=IMAGES))
    with capture(adapted, term.student_map_names) as tap, capture(teacher, term.teacher_map_names) as other:
        s, t = tap(IMAGES), other(IMAGES)
    projected, wanted = s.maps[term.student_map_names[0]], t.maps[term.teacher_map_names[0]]
    torch.testing.assert_close(wanted.mean((2, 3)), t.embedding)
    size = [min(a, b) for a, b in zip(projected.shape[2:], wanted.shape[2:], strict=True)]
    loss = term(s, t, BATCH)
    torch.testing.assert_close(loss, F.mse_loss(projected, F.adaptive_avg_pool2d(wanted, size)))
    loss.backward()
    assert all(p.grad is None for p in teacher.parameters())
    assert all(p.grad is not None for p in adapted.parameters() if p.requires_grad)
    assert not list(term.parameters())


def test_a_student_that_projects_perfectly_has_the_teachers_logits() -> None:
    teacher = create_model("resnet8", num_classes=7).eval()
    adapted = adapt_student(teacher, teacher, IMAGES)
    adapted.trunk.avgpool.projector.layers = torch.nn.Identity()
    torch.testing.assert_close(adapted.eval()(IMAGES), teacher(IMAGES))


def test_a_few_steps_bring_the_student_to_the_teachers_answers() -> None:
    torch.manual_seed(0)
    teacher = create_model("resnet8", num_classes=4).eval().requires_grad_(False)
    adapted = adapt_student(create_model("resnet8", num_classes=4), teacher, IMAGES).train()
    term = SimKDTerm("simkd", observe(adapted, teacher, student_sample=IMAGES))
    before = adapted.classifier.weight.clone()
    optimizer = torch.optim.SGD([p for p in adapted.parameters() if p.requires_grad], lr=0.2, momentum=0.9)
    values = []
    with capture(adapted, term.student_map_names) as tap, capture(teacher, term.teacher_map_names) as other:
        for _ in range(15):
            loss = term(tap(IMAGES), other(IMAGES), BATCH)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            values.append(loss.item())
    assert values[-1] < 0.5 * values[0]
    assert torch.equal(adapted.classifier.weight, before)


def test_a_wrapped_student_keeps_its_preprocessing_and_neither_network_changes() -> None:
    student = Network(create_model("resnet8"), Preprocess((0.5,) * 3, (0.25,) * 3, size=8), ("cat", "dog"))
    teacher = Network(create_model("wrn_16_1"), Preprocess((0.4,) * 3, (0.2,) * 3))
    keys = list(student.state_dict()), list(teacher.state_dict())
    adapted = adapt_student(student, teacher, IMAGES)
    assert isinstance(adapted, Network)
    assert adapted.preprocess is student.preprocess
    assert adapted.classes == ("cat", "dog")
    assert adapted(IMAGES).shape == (4, 100)
    assert adapted.backbone.trunk.avgpool.projector.size == (4, 4)
    assert (list(student.state_dict()), list(teacher.state_dict())) == keys


def test_teacher_and_student_may_see_other_inputs() -> None:
    student, teacher = create_model("resnet8", in_channels=1), create_model("resnet8")
    adapted = adapt_student(student, teacher, torch.zeros(2, 1, 16, 16), teacher_sample=torch.zeros(2, 3, 8, 8))
    assert adapted.trunk.avgpool.projector.size == (2, 2)
    assert adapted(torch.zeros(2, 1, 16, 16)).shape == (2, 100)


def test_an_adapted_student_takes_another_teachers_classifier() -> None:
    first, second = create_model("resnet8"), create_model("resnet8")
    adapted = adapt_student(create_model("wrn_16_1"), first, IMAGES)
    again = adapt_student(adapted, second, IMAGES)
    assert again is adapted
    assert torch.equal(again.classifier.weight, second.fc.weight)
    with pytest.raises(UsageError, match=r"made for a classifier of \(100, 64\) weights, received a teacher's of"):
        adapt_student(adapted, create_model("resnet8x4"), IMAGES)


def test_a_student_that_was_not_adapted_is_refused() -> None:
    setting = observe(create_model("resnet8"), create_model("resnet8"), student_sample=IMAGES)
    with pytest.raises(UsageError, match="received ResNet: make it with adapt_student"):
        SimKDTerm("simkd", setting)
