"""The frame of a set of pictures, as the command line names it and as pictures are fitted to it."""

import pytest

from wcord.checks import UsageError
from wcord.data.frame import Frame


@pytest.mark.parametrize(
    ("said", "frame"),
    [(64, Frame(64, 64)), ("64", Frame(64, 64)), ("150x200", Frame(150, 200)), (None, None)],
)
def test_a_size_is_a_number_or_height_and_width(said: int | str | None, frame: Frame | None) -> None:
    assert Frame.of(said) == frame
    if frame is not None:
        assert Frame.of(frame.image_size, 0.5) == Frame(frame.height, frame.width, 0.5)


@pytest.mark.parametrize("said", ["", "64px", "x64", "64x", "1x2x3", "6.5", "64X64", "½"])
def test_what_is_no_size_is_refused(said: str) -> None:
    with pytest.raises(UsageError, match=r"image_size takes pixels a side, such as 64, or height×width"):
        Frame.of(said)


@pytest.mark.parametrize("said", [0, -3, "0", "8x0", "-1x8"])
def test_a_size_below_a_pixel_is_refused(said: int | str) -> None:
    with pytest.raises(UsageError, match="image_size must be at least 1 pixel"):
        Frame.of(said)


@pytest.mark.parametrize("fraction", [0.0, -0.5, 1.01, float("nan"), float("inf")])
def test_a_fraction_outside_its_range_is_refused(fraction: float) -> None:
    with pytest.raises(UsageError, match="crop_fraction must lie above 0 and be at most 1"):
        Frame.of(8, fraction)


@pytest.mark.parametrize("picture", [(1, 1), (1, 500), (31, 7), (64, 64), (333, 128)])
@pytest.mark.parametrize("frame", [Frame(8, 8), Frame(5, 20, 0.875), Frame(33, 2, 0.3)])
def test_a_picture_covers_its_frame_and_keeps_its_proportions(frame: Frame, picture: tuple[int, int]) -> None:
    (tall, wide), (top, left) = frame.cover(*picture)
    assert tall >= frame.height
    assert wide >= frame.width
    assert 0 <= top <= tall - frame.height
    assert 0 <= left <= wide - frame.width
    scale = max(frame.height / picture[0], frame.width / picture[1]) / frame.fraction
    assert (tall, wide) == pytest.approx((picture[0] * scale, picture[1] * scale), abs=1)
