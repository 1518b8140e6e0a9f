"""Rotated batches: each sample upright and turned by 90°, 180° and 270°, mirrored alike and cropped apart."""

from pathlib import Path

import pytest
import torch
from PIL import Image
from tests.support.golden import golden
from torch import Tensor

from wcord.checks import UsageError
from wcord.data.augment import ROTATIONS, augment, rotated, rotated_draws
from wcord.data.batch import Batch
from wcord.data.dataset import Partner
from wcord.data.images import Form
from wcord.data.loader import Loader
from wcord.data.mixing import Mixing
from wcord.data.split import MemorySplit, StreamSplit, seen_through
from wcord.data.stores import FileImages
from wcord.data.view import View


def split(count: int, size: int = 8, width: int | None = None) -> MemorySplit:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (count, 3, size, width or size), dtype=torch.uint8, generator=generator)
    return MemorySplit(images, torch.arange(count) % 3)


def streamed(like: MemorySplit, folder: Path) -> StreamSplit:
    paths = [folder / f"{row:03d}.png" for row in range(len(like))]
    for path, image in zip(paths, like.images, strict=True):
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(path)
    return StreamSplit(FileImages(paths), torch.arange(len(paths)), like.targets, Form("RGB", *like.shape[1:]))


def assert_same(first: list[Batch], second: list[Batch]) -> None:
    assert len(first) == len(second)
    for mine, theirs in zip(first, second, strict=True):
        assert mine.rotations == theirs.rotations == ROTATIONS
        for name in ("student_input", "teacher_input", "target"):
            assert torch.equal(getattr(mine, name), getattr(theirs, name)), name


def test_views_turn_counter_clockwise_as_in_the_authors_code() -> None:
    values = golden("views")
    images, flipped = values["images"].permute(0, 3, 1, 2), values["flipped"].long()
    drawn = torch.zeros(ROTATIONS * len(images), 3, dtype=torch.long)
    drawn[: len(images), 2] = flipped
    views, crops = rotated_draws(images, drawn, [len(images)])
    expected = values["views"].transpose(0, 1).flatten(0, 1).permute(0, 3, 1, 2)
    assert torch.equal(views, expected)
    assert not crops[:, 2].any()


def test_the_rows_are_the_samples_upright_then_turned() -> None:
    data = split(5)
    (batch,) = Loader(data, batch_size=5, rotations=True).batches()
    assert len(batch) == 20
    assert (batch.rotations, batch.upright_rows) == (4, 5)
    assert batch.index is not None
    assert batch.index.tolist() == [0, 1, 2, 3, 4] * 4
    assert batch.target.tolist() == [0, 1, 2, 0, 1] * 4
    pixels = data.images.float() / 255
    for turns, view in enumerate(batch.student_input.split(5)):
        assert torch.equal(view, pixels.rot90(turns, (2, 3)))
    upright = batch.upright()
    assert (len(upright), upright.rotations) == (5, 1)
    assert upright.student_input is not None
    assert torch.equal(upright.student_input, pixels)
    assert upright.teacher_input is upright.student_input
    assert torch.equal(batch.student_input, Batch(pixels, pixels, data.targets).rotated().student_input)


@pytest.mark.parametrize("kind", ["crop-flip", "resized-crop", "shift", "none"])
def test_upright_rows_are_those_of_a_plain_batch(kind: str) -> None:
    """But for rounding: a crop is mirrored after it is cut, and a rotated picture before; windows are other ones."""
    settings = {"batch_size": 4, "shuffle": True, "augment": kind, "seed": 3}
    plain = list(Loader(split(10), **settings).batches(1))
    turned = list(Loader(split(10), **settings, rotations=True).batches(1))
    for one, four in zip(plain, turned, strict=True):
        assert torch.equal(four.upright().target, one.target)
        assert one.index is not None
        assert four.index is not None
        assert torch.equal(four.index[: len(one)], one.index)
        if kind in ("shift", "none"):
            assert torch.equal(four.upright().student_input, one.student_input)


def test_each_sample_is_mirrored_once_before_it_turns_and_each_view_has_its_own_crop() -> None:
    """Of pictures with a margin of four black pixels, crops by up to one pixel lose nothing: they can be undone."""
    inner = torch.randint(1, 256, (40, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    images = torch.nn.functional.pad(inner, (4,) * 4)
    (batch,) = Loader(MemorySplit(images, torch.zeros(40).long()), batch_size=40, augment="crop-flip", rotations=True
                      ).batches()  # fmt: skip
    flips: list[list[bool]] = []
    shifts: list[list[tuple[int, int]]] = []
    for turns, view in enumerate(batch.student_input.split(40)):
        upright = view.rot90(-turns, (2, 3))
        found = [_place(seen[0], image[0] / 255) for seen, image in zip(upright, inner, strict=True)]
        flips.append([flip for flip, _ in found])
        shifts.append([shift for _, shift in found])
    assert flips[0] == flips[1] == flips[2] == flips[3]
    assert 0 < sum(flips[0]) < 40
    assert len({tuple(each) for each in shifts}) == 4


def _place(seen: Tensor, inner: Tensor) -> tuple[bool, tuple[int, int]]:
    """Return whether a picture is mirrored, and where it is, in a frame that is twice as large."""
    for flip in (False, True):
        wanted = inner.flip(1) if flip else inner
        for top in range(9):
            for left in range(9):
                if torch.equal(seen[top : top + 8, left : left + 8], wanted):
                    return flip, (top, left)
    raise AssertionError("the picture is not in the frame as a whole")


@pytest.mark.parametrize("kind", ["crop-flip", "resized-crop", "shift"])
def test_the_teacher_sees_the_same_flip_turn_and_crop(kind: str) -> None:
    coarse = split(9, size=3).images.float()
    larger, data = (
        MemorySplit(torch.nn.functional.interpolate(coarse, side, mode="bilinear").byte(), torch.arange(9) % 3)
        for side in (32, 16)
    )
    settings = {"batch_size": 9, "augment": kind, "shuffle": True, "rotations": True}
    (view,) = Loader(data, **settings, partner=Partner(seen_through(data, View.parse("gray")), kind)).batches()
    assert torch.equal(view.teacher_input, View.parse("gray")(view.student_input))
    (pair,) = Loader(data, **settings, partner=Partner(larger, kind)).batches()
    smaller = torch.nn.functional.avg_pool2d(pair.teacher_input, 2)
    apart = (smaller - pair.student_input).abs().mean()
    for other in (pair.student_input.flip(3), pair.student_input.roll(9, 0)):
        assert apart < 0.3 * (smaller - other).abs().mean()
    (own,) = Loader(data, **settings, partner=Partner(data, kind, pairs="separate")).batches()
    assert not torch.equal(own.teacher_input, own.student_input)


@pytest.mark.parametrize("mixing", [None, Mixing(3, 0.4, 1.0)])
def test_batches_are_the_same_made_together_streamed_resumed_or_shared(mixing: Mixing | None, tmp_path: Path) -> None:
    memory = split(21)
    stream = streamed(memory, tmp_path)
    for kind in ("crop-flip", "resized-crop"):
        settings = {"batch_size": 4, "augment": kind, "shuffle": True, "seed": 2, "rotations": True, "mixing": mixing}
        whole = list(Loader(memory, **settings).batches(1))
        assert_same(list(Loader(memory, **settings, together=3).batches(1)), whole)
        assert_same(list(Loader(memory, **settings).batches(1, 2)), whole[2:])
        for workers in (0, 1):
            assert_same(list(Loader(stream, **settings, workers=workers).batches(1)), whole)
        shares = [list(Loader(memory, **settings, rank=r, world_size=2, drop_single=True).batches(1)) for r in range(2)]
        for batch, *parts in zip(whole, *shares, strict=False):
            views = [torch.cat(each) for each in zip(*(part.student_input.chunk(4) for part in parts), strict=True)]
            assert torch.equal(torch.cat(views), batch.student_input)


def test_samples_count_in_all_their_rotations() -> None:
    loader = Loader(split(10), batch_size=4, rotations=True)
    assert (loader.copies, loader.samples_in(0), loader.samples_in(2)) == (4, 16, 8)
    assert [len(batch) for batch in loader.batches()] == [16, 16, 8]
    first, second = next(loader.batches()).split([8, 8])
    assert first.rotations == second.rotations == 4


@pytest.mark.parametrize(
    ("data", "settings", "message"),
    [
        (split(4), {"views": 2}, "four turned views of each sample, and --views 2 asks for others: leave out --views"),
        (split(4, 8, 6), {}, "the student's pictures are turned by 90°, which needs square ones, received 8×6"),
        (split(4, 8, 1), {}, r"needs pictures, received rows or tokens of shape \(3, 8, 1\)"),
        (split(4), {"partner": Partner(split(4, 6, 8), "none")}, "the teacher's pictures .* received 6×8"),
        (seen_through(split(4), View.parse("crop=4x6")), {}, "the student's pictures .* received 4×6"),
    ],
)
def test_what_cannot_be_turned_is_refused(data: MemorySplit, settings: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Loader(data, batch_size=2, rotations=True, **settings)


def test_only_pictures_and_only_once() -> None:
    with pytest.raises(UsageError, match=r"images are turned by 90°, which needs pictures, received .* \(3,\)"):
        rotated(torch.zeros(2, 3))
    images = torch.zeros(2, 1, 4, 4)
    batch = Batch(images, torch.ones(2, 1, 6, 6), torch.zeros(2).long()).rotated()
    assert batch.index is None
    assert batch.teacher_input.shape == (8, 1, 6, 6)
    with pytest.raises(UsageError, match="rotated views already"):
        batch.rotated()
    plain = Batch(images, images, torch.zeros(2).long())
    assert plain.upright() is plain


def test_the_draws_of_a_batch_stay_as_they_are() -> None:
    """The teacher's partner is augmented by the same draws."""
    drawn = torch.tensor([[0, 1, 1]] * 8)
    before = drawn.clone()
    views, crops = rotated_draws(torch.zeros(2, 1, 8, 8), drawn, [2])
    assert torch.equal(drawn, before)
    assert torch.equal(augment("crop-flip", views, crops), torch.zeros(8, 1, 8, 8))
