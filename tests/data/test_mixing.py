"""Mixup and CutMix: as timm's, alike for both networks, and the same in one process, in several and after a stop."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.data.test_loader import split, streamed
from timm.data.mixup import Mixup, rand_bbox
from torch import Tensor

from wcord.checks import UsageError
from wcord.data.batch import Batch
from wcord.data.dataset import Pairs, Partner
from wcord.data.loader import Loader
from wcord.data.mixing import Mix, Mixing
from wcord.data.split import MemorySplit, seen_through
from wcord.data.view import View

BOTH = Mixing(3, mixup=0.8, cutmix=1.0)
KINDS = {"mixup": Mixing(3, mixup=0.4), "cutmix": Mixing(3, cutmix=1.0), "both": BOTH, "half": Mixing(3, 1.0, 0.5, 0.5)}


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("lam", [0.0, 0.3, 0.75, 1.0])
def test_mixup_is_that_of_timm(lam: float, smoothing: float, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = Mixup(mixup_alpha=1.0, label_smoothing=smoothing, num_classes=3)
    monkeypatch.setattr(theirs, "_params_per_batch", lambda: (lam, False))
    images, target = torch.rand(6, 3, 8, 8), torch.tensor([0, 1, 2, 2, 1, 1])
    monkeypatch.setattr("timm.data.mixup.one_hot", timm_one_hot)
    mixed, shares = theirs(images.clone(), target)
    mix = Mix(lam)
    torch.testing.assert_close(mix.pictures(images, images.flip(0)), mixed)
    own = BOTH.shares(target)
    found = mix.targets(own, own.flip(0))
    torch.testing.assert_close((1 - smoothing) * found + smoothing / 3, shares)


def timm_one_hot(x: Tensor, num_classes: int, on_value: float = 1.0, off_value: float = 0.0, **_: object) -> Tensor:
    """What timm does on whichever device the labels are; its own default is a GPU in some versions."""
    full = torch.full((len(x), num_classes), off_value)
    return full.scatter_(1, x.long().view(-1, 1), on_value)


@settings(max_examples=80, deadline=None)
@given(
    st.floats(0.0, 1.0), st.floats(0, 0.999), st.floats(0, 0.999), st.sampled_from([(8, 8), (32, 20), (7, 224), (1, 5)])
)
def test_the_rectangle_is_that_of_timm(lam: float, down: float, across: float, size: tuple[int, int]) -> None:
    places = iter([int(down * size[0]), int(across * size[1])])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("timm.data.mixup.np.random.randint", lambda *_, **__: next(places))
        top, bottom, left, right = rand_bbox((1, 3, *size), lam)
    mix = Mix(lam, (down, across)).on(size)
    assert mix.box == (top, bottom, left, right)
    assert mix.share == pytest.approx(1 - (bottom - top) * (right - left) / (size[0] * size[1]))
    own, mates = torch.zeros(2, 1, *size), torch.ones(2, 1, *size)
    # The share of the labels is that of the pixels, exactly.
    assert float(mix.pictures(own, mates)[0].mean()) == pytest.approx(1 - mix.share, abs=1e-6)


@settings(max_examples=60, deadline=None)
@given(st.floats(0.0, 1.0), st.floats(0, 0.999), st.floats(0, 0.999), st.sampled_from([1, 2, 4]))
def test_the_rectangle_is_the_same_part_of_a_smaller_picture(lam: float, down: float, across: float, by: int) -> None:
    drawn = Mix(lam, (down, across))
    large, small = drawn.on((32, 64)), drawn.on((32, 64), (32 // by, 64 // by))
    assert large.box is not None
    assert small.box is not None
    for one, other in zip(large.box, small.box, strict=True):
        assert abs(one / by - other) <= 0.5


def test_what_is_drawn_follows_the_settings() -> None:
    generator = np.random.default_rng(0)
    drawn = [Mixing(3, 0.4, 1.0, 0.8).draw(generator) for _ in range(2000)]
    mixed = [one for one in drawn if one.share < 1]
    assert len(mixed) / len(drawn) == pytest.approx(0.8, abs=0.03)
    assert sum(one.center is not None for one in mixed) / len(mixed) == pytest.approx(0.5, abs=0.04)
    assert np.mean([one.share for one in mixed]) == pytest.approx(0.5, abs=0.03)
    assert all(one.center is None for one in (Mixing(3, mixup=0.4).draw(generator) for _ in range(50)))
    assert all(one.center is not None for one in (Mixing(3, cutmix=0.4).draw(generator) for _ in range(50)))


def assert_alike(first: list[Batch], second: list[Batch]) -> None:
    for mine, theirs in zip(first, second, strict=True):
        assert torch.equal(mine.student_input, theirs.student_input)
        assert torch.equal(mine.teacher_input, theirs.teacher_input)
        assert torch.equal(mine.target, theirs.target)
        assert mine.index is theirs.index is None


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("views", [1, 2])
def test_batches_are_mixtures_of_the_plain_ones(kind: str, views: int) -> None:
    options = {"batch_size": 8, "shuffle": True, "augment": "crop-flip", "seed": 3, "views": views}
    plain = list(Loader(split(21), **options).batches(1))
    mixed = list(Loader(split(21), **options, mixing=KINDS[kind]).batches(1))
    changed = 0
    for before, after in zip(plain, mixed, strict=True):
        assert after.teacher_input is after.student_input
        assert after.target.shape == (len(before), 3)
        torch.testing.assert_close(after.target.sum(1), torch.ones(len(before)))
        own = before.student_input.unflatten(0, (views, -1))
        lam = after.target[0]  # of the first sample and the last
        labels = before.target[0], before.target[len(before) // views - 1]
        changed += not torch.equal(after.student_input, before.student_input)
        if labels[0] != labels[1] and kind == "mixup":
            share = lam[labels[0]]
            torch.testing.assert_close(
                after.student_input, (own * share + own.flip(1) * (1 - share)).flatten(0, 1), atol=1e-5, rtol=1e-5
            )
        both = torch.minimum(own, own.flip(1)).flatten(0, 1), torch.maximum(own, own.flip(1)).flatten(0, 1)
        assert bool((after.student_input >= both[0] - 1e-6).all())
        assert bool((after.student_input <= both[1] + 1e-6).all())
        if views == 2:
            assert torch.equal(after.target[: len(before) // 2], after.target[len(before) // 2 :])
    assert changed >= (1 if kind == "half" else len(plain) - 1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("world", "views"), [(2, 1), (2, 2), (4, 1)])
def test_the_parts_of_several_processes_are_the_mixed_batch_of_one(kind: str, world: int, views: int) -> None:
    options = {
        "batch_size": 8, "shuffle": True, "augment": "crop-flip", "seed": 3, "mixing": KINDS[kind], "views": views,
    }  # fmt: skip
    whole = list(Loader(split(37), **options).batches(1))
    parts = [list(Loader(split(37), **options, rank=rank, world_size=world).batches(1)) for rank in range(world)]
    for number, batch in enumerate(whole):
        for name in ("student_input", "teacher_input", "target"):
            joined = torch.cat([getattr(part[number], name).unflatten(0, (views, -1)) for part in parts], dim=1)
            assert torch.equal(joined.flatten(0, 1), getattr(batch, name))


@pytest.mark.parametrize("kind", KINDS)
def test_starting_in_mid_epoch_gives_the_same_mixtures(kind: str) -> None:
    loader = Loader(split(30), batch_size=4, shuffle=True, augment="shift", seed=5, mixing=KINDS[kind])
    assert_alike(list(loader.batches(2, 3)), list(loader.batches(2))[3:])


@pytest.mark.parametrize("world", [1, 2])
@pytest.mark.parametrize("augment", ["crop-flip", "none"])
def test_streamed_and_in_memory_give_the_same_mixtures(world: int, augment: str, tmp_path) -> None:
    memory = split(21)
    options = {"batch_size": 4, "shuffle": True, "augment": augment, "mixing": BOTH, "world_size": world}
    assert_alike(
        list(Loader(streamed(memory, tmp_path), **options).batches(1)), list(Loader(memory, **options).batches(1))
    )


def test_streamed_crops_are_mixed_in_several_processes_as_in_one(tmp_path) -> None:
    options = {"batch_size": 6, "shuffle": True, "augment": "resized-crop", "mixing": BOTH, "views": 2}
    stream = streamed(split(12, size=16), tmp_path)
    whole = list(Loader(stream, **options).batches())
    parts = [list(Loader(stream, **options, rank=rank, world_size=2).batches()) for rank in range(2)]
    for number, batch in enumerate(whole):
        joined = torch.cat([part[number].student_input.unflatten(0, (2, -1)) for part in parts], dim=1)
        torch.testing.assert_close(joined.flatten(0, 1), batch.student_input)


def test_a_view_of_the_teacher_shows_the_same_mixture() -> None:
    base = split(16)
    partner = Partner(seen_through(base, View.parse("gray")))
    for batch in Loader(base, batch_size=8, shuffle=True, augment="crop-flip", partner=partner, mixing=BOTH).batches():
        torch.testing.assert_close(batch.teacher_input, View.parse("gray")(batch.student_input))


@pytest.mark.parametrize("kind", ["mixup", "cutmix", "both"])
def test_a_larger_picture_of_the_same_scene_is_mixed_alike(kind: str) -> None:
    """The teacher sees each pixel four times."""
    small = split(24)
    large = MemorySplit(small.images.repeat_interleave(2, 2).repeat_interleave(2, 3), small.targets)
    loader = Loader(small, batch_size=8, shuffle=True, partner=Partner(large), mixing=KINDS[kind])
    for batch in (one for epoch in range(3) for one in loader.batches(epoch)):
        seen = batch.student_input.repeat_interleave(2, 2).repeat_interleave(2, 3)
        differing = (seen - batch.teacher_input).abs().amax(1) > 1e-5
        # At most a line of pixels along each edge of the rectangle, where it does not lie on a whole pixel.
        assert int(differing[0].sum()) <= (0 if kind == "mixup" else 4 * 16)
        if kind == "mixup":
            torch.testing.assert_close(seen, batch.teacher_input)


@pytest.mark.parametrize("pairs", ["separate", "label"])
def test_pictures_that_are_not_alike_are_not_mixed(pairs: Pairs) -> None:
    with pytest.raises(UsageError, match="need the same pictures and augmentation for both networks"):
        Loader(split(8), batch_size=4, partner=Partner(split(8), pairs=pairs), mixing=BOTH)


def test_the_settings_of_mixing_are_plain_values() -> None:
    """They stand in the key of the teacher's cache."""
    assert dataclasses.asdict(BOTH) == {"classes": 3, "mixup": 0.8, "cutmix": 1.0, "prob": 1.0}
