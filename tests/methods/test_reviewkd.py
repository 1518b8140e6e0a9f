"""Knowledge review: which maps are fused with which, and how the weight of the term rises."""

import dataclasses

import pytest
import torch
from torch import nn

from wcord.checks import UsageError
from wcord.data.batch import Batch
from wcord.features import Features, capture
from wcord.methods.observe import observe
from wcord.methods.reviewkd import ReviewKDTerm
from wcord.methods.setting import Setting
from wcord.models.create import create_model

IMAGES = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
BATCH = Batch(IMAGES, IMAGES, torch.arange(4))


def _setting(student: nn.Module, teacher: nn.Module, total_steps: int | None = None) -> Setting:
    torch.manual_seed(0)
    return observe(student, teacher, student_sample=IMAGES, total_steps=total_steps)


def _features(term: ReviewKDTerm, student: nn.Module, teacher: nn.Module) -> tuple[Features, Features]:
    with capture(student, term.student_map_names) as tap, capture(teacher.eval(), term.teacher_map_names) as other:
        with torch.no_grad():
            seen = other(IMAGES)
        return tap(IMAGES), seen


@pytest.mark.parametrize(
    ("names", "student_channels", "teacher_channels", "width"),
    [
        (("resnet8", "resnet14"), [16, 32, 64, 64], [16, 32, 64, 64], 64),
        (("ShuffleV2", "resnet8x4"), [116, 232, 464, 1024], [64, 128, 256, 256], 512),
        (("MobileNetV2", "vgg8"), [12, 16, 48, 160, 1280], [128, 256, 512, 512, 512], 512),
        (("ShuffleV1", "ResNet50"), [240, 480, 960, 960], [512, 1024, 2048, 2048], 512),
    ],
)
def test_stages_and_embedding_are_fused_at_the_published_widths(
    names: tuple[str, str], student_channels: list[int], teacher_channels: list[int], width: int
) -> None:
    student, teacher = (create_model(name) for name in names)
    term = ReviewKDTerm("reviewkd", _setting(student, teacher))
    fusions = list(term.loss.fusions)
    assert [fusion.narrow[0].in_channels for fusion in fusions] == student_channels
    assert [fusion.widen[0].out_channels for fusion in fusions] == teacher_channels
    assert {fusion.widen[0].in_channels for fusion in fusions} == {width}
    loss = term(*_features(term, student, teacher), BATCH)
    loss.backward()
    assert loss.isfinite()
    assert all(parameter.grad is not None for parameter in term.parameters())


def test_reads_the_student_after_and_the_teacher_before_the_relu() -> None:
    student, teacher = create_model("resnet8"), create_model("resnet8")
    term = ReviewKDTerm("reviewkd", _setting(student, teacher), max_width=8)
    assert term.student_map_names == ("stage1", "stage2", "stage3")
    assert term.teacher_map_names == ("pre:stage1", "pre:stage2", "pre:stage3")
    s, t = _features(term, student, teacher)
    expected = term.loss(
        [*s.maps.values(), s.embedding[..., None, None]], [*t.maps.values(), t.embedding[..., None, None]]
    )
    torch.testing.assert_close(term(s, t, BATCH), expected)


def test_the_weight_rises_over_a_twelfth_of_the_training() -> None:
    student, teacher = create_model("resnet8"), create_model("resnet8")
    term = ReviewKDTerm("reviewkd", _setting(student, teacher, total_steps=48))
    s, t = _features(term, student, teacher)
    values = [term(s, t, BATCH).item() for _ in range(7)]
    assert values == pytest.approx([share * values[-1] for share in (0, 0.25, 0.5, 0.75, 1, 1, 1)])


def test_the_count_stands_still_in_eval_mode_and_survives_a_restart() -> None:
    student, teacher = create_model("resnet8"), create_model("resnet8")
    setting = _setting(student, teacher, total_steps=48)
    term = ReviewKDTerm("reviewkd", setting)
    s, t = _features(term, student, teacher)
    term(s, t, BATCH)
    term.eval()
    assert term(s, t, BATCH).item() == term(s, t, BATCH).item() > 0
    again = ReviewKDTerm("reviewkd", setting).eval()
    again.load_state_dict(term.state_dict())
    assert again(s, t, BATCH).item() == term(s, t, BATCH).item()


def test_the_weight_is_whole_without_warmup_or_a_known_length() -> None:
    student, teacher = create_model("resnet8"), create_model("resnet8")
    setting = _setting(student, teacher, total_steps=48)
    unknown = ReviewKDTerm("reviewkd", dataclasses.replace(setting, total_steps=None))
    without = ReviewKDTerm("reviewkd", setting, warmup=0.0)
    without.load_state_dict(unknown.state_dict())
    s, t = _features(unknown, student, teacher)
    assert unknown(s, t, BATCH).item() == without(s, t, BATCH).item() > 0


def test_a_warmup_beyond_the_training_is_refused() -> None:
    with pytest.raises(UsageError, match="warmup must lie between 0 and 1, received 20"):
        ReviewKDTerm("reviewkd", _setting(create_model("resnet8"), create_model("resnet8")), warmup=20)
