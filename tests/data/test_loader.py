"""Batches are functions of seed, epoch and number alone, in memory and streamed, for one process and for several."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from wcord.checks import UsageError
from wcord.data.augment import boxes
from wcord.data.batch import Batch
from wcord.data.dataset import Partner
from wcord.data.images import Form
from wcord.data.loader import Loader
from wcord.data.mixing import Mixing
from wcord.data.split import MemorySplit, Split, StreamSplit, seen_through
from wcord.data.stores import FileImages
from wcord.data.view import View


def split(count: int, size: int = 8) -> MemorySplit:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8, generator=generator)
    return MemorySplit(images, torch.arange(count) % 3)


def streamed(like: MemorySplit, folder) -> Split:
    paths = []
    for row, image in enumerate(like.images):
        paths.append(folder / f"{row:03d}.png")
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(paths[-1])
    height, width = like.shape[1:]
    return StreamSplit(FileImages(paths), torch.arange(len(paths)), like.targets, Form("RGB", height, width))


def assert_same(first: list[Batch], second: list[Batch]) -> None:
    assert len(first) == len(second)
    for mine, theirs in zip(first, second, strict=True):
        for name in ("student_input", "target", "index"):
            assert torch.equal(getattr(mine, name), getattr(theirs, name)), name


@settings(max_examples=60, deadline=None)
@given(count=st.integers(2, 60), batch=st.integers(1, 20), epoch=st.integers(0, 3), seed=st.integers(0, 2**40))
def test_every_row_comes_once_an_epoch(count: int, batch: int, epoch: int, seed: int) -> None:
    loader = Loader(split(count), batch_size=batch, shuffle=True, seed=seed)
    batches = list(loader.batches(epoch))
    assert len(batches) == len(loader) == -(-count // batch)
    rows = torch.cat([each.index for each in batches])
    assert rows.sort().values.tolist() == list(range(count))
    for each in batches:
        assert torch.equal(each.target, each.index % 3)
        assert torch.equal(each.student_input, loader.split.read(each.index).float() / 255)
        assert each.teacher_input is each.student_input


@settings(max_examples=40, deadline=None)
@given(
    count=st.integers(4, 40),
    batch=st.integers(2, 9),
    start=st.integers(0, 30),
    kind=st.sampled_from(["crop-flip", "shift", "resized-crop"]),
)
def test_starting_in_mid_epoch_gives_what_would_have_come(count: int, batch: int, start: int, kind: str) -> None:
    loader = Loader(split(count), batch_size=batch, shuffle=True, augment=kind, seed=5)
    start = min(start, len(loader))
    whole = list(loader.batches(2))
    assert_same(list(loader.batches(2, start)), whole[start:])


def assert_same_inputs(first: list[Batch], second: list[Batch]) -> None:
    assert_same(first, second)
    for mine, theirs in zip(first, second, strict=True):
        assert torch.equal(mine.teacher_input, theirs.teacher_input)
        assert (mine.teacher_input is mine.student_input) == (theirs.teacher_input is theirs.student_input)


@settings(max_examples=60, deadline=None)
@given(
    count=st.integers(4, 40),
    batch=st.integers(2, 9),
    start=st.integers(0, 30),
    together=st.integers(2, 8),
    kind=st.sampled_from(["none", "crop-flip", "shift", "resized-crop"]),
    views=st.integers(1, 3),
)
def test_batches_that_are_made_together_are_the_same(
    count: int, batch: int, start: int, together: int, kind: str, views: int
) -> None:
    loader = Loader(split(count), batch_size=batch, shuffle=True, augment=kind, seed=5, views=views)
    several = Loader(split(count), batch_size=batch, shuffle=True, augment=kind, seed=5, views=views, together=together)
    start = min(start, len(loader))
    assert_same_inputs(list(several.batches(2, start)), list(loader.batches(2, start)))


@pytest.mark.parametrize("partner", ["view", "shared", "own", "label"])
@pytest.mark.parametrize("mixing", [None, Mixing(3, 0.4, 1.0)])
def test_batches_of_pairs_and_mixtures_that_are_made_together_are_the_same(partner: str, mixing: Mixing | None) -> None:
    own, other = split(23), split(23, size=16)
    partners = {
        "view": Partner(seen_through(own, View.parse("gray")), "crop-flip"),
        "shared": Partner(other, "crop-flip"),
        "own": Partner(other, "shift", pairs="separate"),
        "label": Partner(other, "crop-flip", pairs="label"),
    }
    if mixing is not None and partners[partner].pairs != "shared":
        with pytest.raises(UsageError, match="mixup"):
            Loader(own, batch_size=4, partner=partners[partner], mixing=mixing, together=3)
        return
    for world in (1, 2):
        for rank in range(world):
            one, several = (
                list(
                    Loader(
                        own,
                        batch_size=4,
                        shuffle=True,
                        augment="crop-flip",
                        seed=5,
                        views=2,
                        partner=partners[partner],
                        mixing=mixing,
                        together=together,
                        rank=rank,
                        world_size=world,
                        drop_single=True,
                    ).batches(1, 2)
                )
                for together in (1, 3)
            )
            for mine, theirs in zip(one, several, strict=True):
                for name in ("student_input", "teacher_input", "target"):
                    assert torch.equal(getattr(mine, name), getattr(theirs, name)), (name, rank)
                assert (mine.index is None) == (theirs.index is None) == (mixing is not None)


@pytest.mark.parametrize("workers", [0, 2])
def test_streamed_batches_that_are_made_together_are_the_same(workers: int, tmp_path) -> None:
    memory = split(20)
    files = streamed(memory, tmp_path)
    for kind in ("crop-flip", "resized-crop"):
        one, several = (
            list(
                Loader(
                    files, batch_size=4, shuffle=True, augment=kind, workers=workers, views=2, together=together
                ).batches(0, 2)
            )
            for together in (1, 3)
        )
        assert_same(one, several)


def test_groups_begin_with_the_one_that_holds_the_start() -> None:
    loader = Loader(split(20), batch_size=4, shuffle=True, together=2)
    assert [(group.first, group.sizes) for group in loader.groups(0, 3)] == [(2, (4, 4)), (4, (4,))]
    with pytest.raises(UsageError, match="together must be"):
        Loader(split(4), batch_size=2, together=0)


@pytest.mark.parametrize("world", [2, 4])
def test_the_parts_of_several_processes_are_the_batch_of_one(world: int) -> None:
    settings = {"batch_size": 8, "shuffle": True, "augment": "crop-flip", "seed": 3}
    whole = list(Loader(split(36), **settings).batches(1))
    parts = [list(Loader(split(36), **settings, rank=rank, world_size=world).batches(1)) for rank in range(world)]
    for number, batch in enumerate(whole):
        for name in ("student_input", "target", "index"):
            joined = torch.cat([getattr(part[number], name) for part in parts])
            assert torch.equal(joined, getattr(batch, name))


@pytest.mark.parametrize("workers", [0, 2])
def test_streamed_and_in_memory_give_the_same_batches(workers: int, tmp_path) -> None:
    memory = split(21)
    settings = {"batch_size": 4, "shuffle": True, "augment": "crop-flip", "seed": 9}
    expected = list(Loader(memory, **settings).batches(1, 1))
    before = torch.get_rng_state()
    found = list(Loader(streamed(memory, tmp_path), **settings, workers=workers).batches(1, 1))
    assert_same(found, expected)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_streamed_image_that_went_bad_is_named(tmp_path) -> None:
    stream = streamed(split(6), tmp_path)
    (tmp_path / "004.png").write_bytes(b"gone")
    for workers in (0, 1):
        with pytest.raises(UsageError, match=r"004\.png' cannot be read"):
            list(Loader(stream, batch_size=3, workers=workers).batches())


def test_seed_and_epoch_change_order_and_augmentation() -> None:
    def first(**changes: int) -> Batch:
        loader = Loader(split(40), batch_size=40, shuffle=True, augment="crop-flip", seed=changes.get("seed", 0))
        return next(loader.batches(changes.get("epoch", 0)))

    base = first()
    assert torch.equal(first().student_input, base.student_input)
    for changes in ({"seed": 1}, {"epoch": 1}):
        other = first(**changes)
        assert not torch.equal(other.index, base.index)
        assert not torch.equal(other.student_input[other.index.argsort()], base.student_input[base.index.argsort()])


def test_a_last_single_sample_is_dropped_and_counted_in_training_only() -> None:
    training = Loader(split(9), batch_size=4, drop_single=True)
    assert (training.dropped, len(training)) == (1, 2)
    assert sum(len(batch) for batch in training.batches()) == 8
    evaluation = Loader(split(9), batch_size=4)
    assert (evaluation.dropped, len(evaluation)) == (0, 3)
    assert Loader(split(10), batch_size=4, drop_single=True).dropped == 0


def test_shares_that_cannot_be_are_refused() -> None:
    for shares, message in (
        ({"batch_size": 0}, "batch_size is shared"),
        ({"batch_size": 5, "world_size": 2}, "multiple of their number, 2"),
        ({"batch_size": 4, "world_size": 2, "rank": 2}, "rank must lie between 0 and 1"),
        ({"batch_size": 4, "workers": -1}, "workers must be 0 or more"),
        ({"batch_size": 4, "augment": "cropflip"}, "unknown augmentation 'cropflip': did you mean 'crop-flip'"),
    ):
        with pytest.raises(UsageError, match=message):
            Loader(split(8), **shares)


def test_floats_stay_as_they_are() -> None:
    values = torch.from_numpy(np.random.default_rng(0).random((4, 1, 3, 3), dtype=np.float32))
    (batch,) = Loader(MemorySplit(values, torch.zeros(4).long()), batch_size=4).batches()
    assert torch.equal(batch.student_input, values)


def test_views_are_the_same_samples_with_other_augmentation() -> None:
    both = list(Loader(split(10), batch_size=4, augment="crop-flip", shuffle=True, views=2).batches(1))
    one = list(Loader(split(10), batch_size=4, augment="crop-flip", shuffle=True).batches(1))
    for double, single in zip(both, one, strict=True):
        n = len(single)
        assert len(double) == 2 * n
        assert torch.equal(double.student_input[:n], single.student_input)
        assert torch.equal(double.index[:n], double.index[n:])
        assert torch.equal(double.target, torch.cat([single.target] * 2))
        assert not torch.equal(double.student_input[:n], double.student_input[n:])
    with pytest.raises(UsageError, match="views must be 1 or more, received 0"):
        Loader(split(10), batch_size=4, views=0)


def test_processes_share_every_view() -> None:
    whole = list(Loader(split(12), batch_size=4, augment="crop-flip", views=2).batches())
    shares = [
        list(Loader(split(12), batch_size=4, augment="crop-flip", views=2, rank=r, world_size=2).batches())
        for r in range(2)
    ]
    for batch, first, second in zip(whole, *shares, strict=True):
        together = torch.cat([first.student_input[:2], second.student_input[:2],
                              first.student_input[2:], second.student_input[2:]])  # fmt: skip
        assert torch.equal(batch.student_input, together)


def originals(folder) -> StreamSplit:
    """Wide pictures, each of its own hue from left to right, whose margins a central square would not show."""
    paths = []
    for row in range(9):
        ramp = np.linspace(0, 255, 90).astype(np.uint8)[None].repeat(30, 0)
        pixels = np.stack([ramp, np.full_like(ramp, 20 * row), 255 - ramp], axis=2)
        paths.append(folder / f"{row}.png")
        Image.fromarray(pixels).save(paths[-1])
    return StreamSplit(FileImages(paths), torch.arange(9), torch.arange(9) % 3, Form("RGB", 12, 12))


@pytest.mark.parametrize("views", [1, 2])
def test_streamed_crops_are_parts_of_the_originals(views: int, tmp_path) -> None:
    stream = originals(tmp_path)
    settings = {"batch_size": 4, "shuffle": True, "augment": "resized-crop", "seed": 3, "views": views}
    loader = Loader(stream, **settings)
    found = list(loader.batches(2))
    for number, batch in enumerate(found):
        drawn = loader._draws(2, number, kind="resized-crop", size=(12, 12))
        for row, chances, image in zip(batch.index.tolist(), drawn, batch.student_input, strict=True):
            top, left, tall, wide, flip = boxes(chances[None], 30, 90)[0].tolist()
            part = stream.store.open(row).crop((left, top, left + wide, top + tall))
            pixels = np.asarray(part.resize((12, 12), Image.Resampling.BILINEAR), np.float32) / 255
            expected = torch.from_numpy(pixels).permute(2, 0, 1)
            torch.testing.assert_close(image, expected.flip(-1) if flip else expected, atol=2e-3, rtol=0)
    # In worker processes, from the middle of an epoch, and in parts: the same.
    assert_same(list(Loader(stream, **settings, workers=2).batches(2)), found)
    assert_same(list(Loader(stream, **settings, workers=2).batches(2, 1)), found[1:])
    if views == 1:
        shares = [list(Loader(stream, **settings, rank=rank, world_size=2).batches(2)) for rank in range(2)]
        joined = torch.cat([share[0].student_input for share in shares])
        assert torch.equal(joined, found[0].student_input)
    seen = torch.cat([batch.student_input[:, 0] for epoch in range(30) for batch in loader.batches(epoch)])
    assert seen.min() < 0.1  # the left margin and the right one, which a central square of 30 pixels does not hold
    assert seen.max() > 0.9


def test_both_networks_see_the_same_part_of_the_original(tmp_path) -> None:
    stream = originals(tmp_path)
    teacher = seen_through(stream, View.parse("gray"))
    student = seen_through(stream, View.parse("resize=6"))
    settings = {"batch_size": 9, "augment": "resized-crop", "shuffle": True, "seed": 1}
    (shared,) = Loader(student, **settings, partner=Partner(teacher, "resized-crop")).batches()
    (alone,) = Loader(stream, **settings).batches()
    assert torch.equal(shared.student_input, View.parse("resize=6")(alone.student_input))
    assert torch.equal(shared.teacher_input, View.parse("gray")(alone.student_input))
    # Each its own crop: of what the pictures are brought to, since the originals are read once.
    (apart,) = Loader(student, **settings, partner=Partner(teacher, "resized-crop", pairs="separate")).batches()
    assert not torch.equal(apart.teacher_input, shared.teacher_input)


@pytest.mark.parametrize("start", [-1, 3])
def test_a_start_beyond_the_epoch_is_refused(start: int) -> None:
    loader = Loader(split(32), batch_size=16, seed=0, shuffle=False)
    assert len(loader) == 2
    with pytest.raises(UsageError, match=f"start must lie between 0 and 2, the batches of an epoch, received {start}"):
        next(loader.batches(0, start))
