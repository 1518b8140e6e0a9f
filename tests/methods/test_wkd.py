"""WKD as terms: where the cost between classes comes from, which maps are compared, and how the weights fall."""

import dataclasses
import math

import pytest
import torch
from torch import nn

from wcord.checks import UsageError
from wcord.data.batch import Batch
from wcord.features import Features, capture
from wcord.losses.wkd import classifier_cost, wkd_feature_loss, wkd_logit_loss
from wcord.methods.observe import observe
from wcord.methods.setting import Setting
from wcord.methods.wkd import WKDFeatureTerm, WKDLogitTerm
from wcord.models.create import create_model

IMAGES = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
BATCH = Batch(IMAGES, IMAGES, torch.tensor([0, 3, 1, 2]))
CLASSES = 5


def networks(student: str = "resnet8", teacher: str = "resnet8x4") -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(0)
    return create_model(student, num_classes=CLASSES), create_model(teacher, num_classes=CLASSES).eval()


def setting(student: nn.Module, teacher: nn.Module, total_steps: int | None = None) -> Setting:
    return observe(student, teacher, student_sample=IMAGES, total_steps=total_steps)


def features(term: nn.Module, student: nn.Module, teacher: nn.Module) -> tuple[Features, Features]:
    with capture(student, term.student_map_names) as tap, capture(teacher, term.teacher_map_names) as other:
        with torch.no_grad():
            seen = other(IMAGES)
        return tap(IMAGES), seen


@pytest.mark.parametrize(
    ("name", "path", "similarity"),
    [("resnet8x4", "fc", "cosine"), ("vgg8", "classifier", "cka"), ("MobileNetV2", "classifier.0", "cosine")],
)
def test_the_cost_is_that_of_the_teachers_classifier(name: str, path: str, similarity: str) -> None:
    student, teacher = networks()
    given = dataclasses.replace(setting(student, teacher), teacher=create_model(name, num_classes=CLASSES))
    term = WKDLogitTerm("wkd-l", given, similarity=similarity, sharpness=2.0)
    weight = given.teacher.get_submodule(path).weight
    torch.testing.assert_close(term.class_cost, classifier_cost(weight, similarity=similarity, sharpness=2.0))
    assert not list(term.parameters())
    assert "class_cost" not in term.state_dict()
    assert [name for name, _ in term.named_buffers()] == ["class_cost"]


def test_a_classifier_that_is_a_convolution_gives_its_cost_too() -> None:
    class Head(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Conv2d(3, CLASSES, 1)

        def get_classifier(self) -> nn.Module:
            return self.head

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(x).mean(dim=(2, 3))

    student, _ = networks()
    teacher = Head()
    term = WKDLogitTerm("wkd-l", setting(student, teacher))
    torch.testing.assert_close(term.class_cost, classifier_cost(teacher.head.weight.flatten(1)))


def test_logit_term_hands_logits_classes_and_options_to_the_loss() -> None:
    student, teacher = networks()
    term = WKDLogitTerm("wkd-l", setting(student, teacher), transport_weight=7.0, temperature=2.0)
    s, t = features(term, student, teacher)
    expected = wkd_logit_loss(s.logits, t.logits, term.class_cost, BATCH.target, transport_weight=7.0, temperature=2.0)
    torch.testing.assert_close(term(s, t, BATCH), expected)


def test_only_the_transport_fades_and_is_gone_at_the_end() -> None:
    student, teacher = networks()
    term = WKDLogitTerm("wkd-l", setting(student, teacher, total_steps=8), decay_from=0.5)
    s, t = features(term, student, teacher)
    logits = (s.logits, t.logits, term.class_cost, BATCH.target)
    whole, rest = (wkd_logit_loss(*logits, **given).item() for given in ({}, {"transport_weight": 0.0}))
    values = [term(s, t, BATCH).item() for _ in range(10)]
    shares = [1, 1, 1, 1, 1, *(0.5 * (1 + math.cos(math.pi * k / 4)) for k in (1, 2, 3)), 0, 0]
    assert values == pytest.approx([rest + share * (whole - rest) for share in shares], rel=1e-5)
    assert whole > rest > 0


def test_feature_term_fades_and_its_count_survives_a_restart() -> None:
    student, teacher = networks()
    given = setting(student, teacher, total_steps=8)
    term = WKDFeatureTerm("wkd-f", given, decay_from=0.0)
    s, t = features(term, student, teacher)
    values = [term(s, t, BATCH).item() for _ in range(9)]
    assert values == pytest.approx([0.5 * (1 + math.cos(math.pi * k / 8)) * values[0] for k in range(9)], abs=1e-5)
    assert values[0] > 0
    half = WKDFeatureTerm("wkd-f", given)
    half.load_state_dict(term.state_dict() | {"fade.progress.calls": torch.tensor(6)})
    half.eval()
    again = WKDFeatureTerm("wkd-f", given).eval()
    again.load_state_dict(half.state_dict())
    assert again(s, t, BATCH).item() == half(s, t, BATCH).item() == half(s, t, BATCH).item()


@pytest.mark.parametrize("decay_from", [1.0, 0.5])
def test_nothing_fades_without_an_end(decay_from: float) -> None:
    student, teacher = networks()
    given = setting(student, teacher, total_steps=4 if decay_from == 1 else None)
    term = WKDLogitTerm("wkd-l", given, decay_from=decay_from)
    s, t = features(term, student, teacher)
    values = {term(s, t, BATCH).item() for _ in range(6)}
    assert len(values) == 1


def test_feature_term_projects_the_last_map_and_trains_the_projector() -> None:
    student, teacher = networks("vgg8", "resnet8x4")
    term = WKDFeatureTerm("wkd-f", setting(student, teacher), mean_weight=2.0, grid=1)
    assert term.student_map_names == (list(setting(student, teacher).student_maps)[-1],)
    s, t = features(term, student, teacher)
    loss = term(s, t, BATCH)
    student_map, teacher_map = s.maps[term.student_map_names[0]], t.maps[term.teacher_map_names[0]]
    assert student_map.shape[2:] != teacher_map.shape[2:]
    expected = wkd_feature_loss(term.projector(student_map), teacher_map, mean_weight=2.0, grid=1)
    torch.testing.assert_close(loss, expected)
    loss.backward()
    assert all(parameter.grad.isfinite().all() for parameter in term.parameters())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"teacher": None}, "wkd-l reads the teacher's classifier: give the teacher itself"),
        (
            {"teacher_classes": 7},
            r"but 'fc' \(Linear\) has weights of shape \(5, 256\) for 7 classes: use a teacher that",
        ),
    ],
)
def test_logit_term_says_what_it_misses(change: dict[str, object], message: str) -> None:
    given = dataclasses.replace(setting(*networks()), **change)
    with pytest.raises(UsageError, match=message):
        WKDLogitTerm("wkd-l", given)


def test_feature_term_says_what_it_misses() -> None:
    given = setting(*networks())
    with pytest.raises(UsageError, match="wkd-f reads feature maps, but the student states none"):
        WKDFeatureTerm("wkd-f", dataclasses.replace(given, student_maps={}))
    tokens = dataclasses.replace(given, teacher_maps={"stem": (8, 4), "block": (9, 16)})
    with pytest.raises(UsageError, match=r"received 'block' of shape \(9, 16\)"):
        WKDFeatureTerm("wkd-f", tokens)
    with pytest.raises(UsageError, match="decay_from must lie between 0 and 1, received 150"):
        WKDFeatureTerm("wkd-f", given, decay_from=150)
