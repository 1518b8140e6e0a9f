"""Batched augmentation against one image at a time on the same draws."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from wcord.data.augment import augment, boxes, draw, margin, place, whole


def images(count: int, channels: int, height: int, width: int, *, floats: bool = False) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    drawn = torch.randint(0, 256, (count, channels, height, width), dtype=torch.uint8, generator=generator)
    return drawn.float() / 255 if floats else drawn


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(["shift", "crop-flip"]),
    channels=st.sampled_from([1, 3]),
    height=st.integers(4, 33),
    width=st.integers(4, 33),
    floats=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_crops_equal_padding_and_slicing_each_image(
    kind: str, channels: int, height: int, width: int, floats: bool, seed: int
) -> None:
    source = images(7, channels, height, width, floats=floats)
    drawn = draw(kind, 7, height, width, torch.Generator().manual_seed(seed))
    found = augment(kind, source, drawn)
    assert found.dtype == torch.float32
    pad = margin(kind, height)
    for image, (top, left, flip), result in zip(source, drawn.tolist(), found, strict=True):
        unit = image if floats else image.float() / 255
        expected = F.pad(unit, (pad,) * 4)[:, top : top + height, left : left + width]
        torch.testing.assert_close(result, expected.flip(-1) if flip else expected)


def test_draws_cover_all_places_evenly_and_shift_never_flips() -> None:
    drawn = draw("crop-flip", 9000, 32, 32, torch.Generator().manual_seed(0))
    counts = torch.bincount(drawn[:, 0], minlength=9)
    assert counts.shape == (9,)
    assert (counts > 850).all()
    assert 0.47 < drawn[:, 2].float().mean() < 0.53
    assert (draw("shift", 100, 8, 8, torch.Generator())[:, 2] == 0).all()


def test_resized_crop_of_the_whole_is_the_image_and_flips() -> None:
    source = images(2, 3, 24, 24)
    drawn = torch.tensor([[0.0, 0.0, 24.0, 24.0, 0.0], [0.0, 0.0, 24.0, 24.0, 1.0]])
    found = augment("resized-crop", source, drawn)
    torch.testing.assert_close(found[0], source[0].float() / 255, atol=2e-3, rtol=0)
    torch.testing.assert_close(found[1], source[1].flip(-1).float() / 255, atol=2e-3, rtol=0)


def test_resized_crops_stay_inside_and_cover_the_named_share() -> None:
    drawn = boxes(draw("resized-crop", 500, 96, 128, torch.Generator().manual_seed(0)), 96, 128)
    top, left, height, width, flip = drawn.unbind(1)
    assert (top >= 0).all() and (left >= 0).all()  # noqa: PT018  # one statement about the corner
    assert (top + height <= 96 + 1e-4).all()
    assert (left + width <= 128 + 1e-4).all()
    share = height * width / (96 * 128)
    assert share.min() > 0.06
    assert share.max() <= 1 + 1e-6
    assert set(flip.unique().tolist()) == {0.0, 1.0}


def test_none_only_scales() -> None:
    source = images(3, 1, 5, 5)
    assert torch.equal(augment("none", source, draw("none", 3, 5, 5, torch.Generator())), source.float() / 255)


@pytest.mark.parametrize("kind", ["shift", "crop-flip", "resized-crop"])
def test_borders_are_black_and_values_stay_in_range(kind: str) -> None:
    white = torch.full((64, 3, 16, 16), 255, dtype=torch.uint8)
    drawn = draw(kind, 64, 16, 16, torch.Generator().manual_seed(0))
    found = augment(kind, white, place(kind, drawn, (16, 16), (16, 16)))
    assert found.min() >= 0
    assert found.max() <= 1 + 1e-6
    assert found.shape == (64, 3, 16, 16)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 200), st.integers(1, 200), st.integers(0, 1000))
def test_boxes_of_one_draw_lie_inside_a_picture_of_any_size(height: int, width: int, seed: int) -> None:
    drawn = draw("resized-crop", 20, 32, 32, torch.Generator().manual_seed(seed))
    top, left, tall, wide, flip = boxes(drawn, height, width).unbind(1)
    assert min(float(top.min()), float(left.min())) >= 0
    assert float((top + tall).max()) <= height
    assert float((left + wide).max()) <= width
    assert min(float(tall.min()), float(wide.min())) >= 1
    assert torch.equal(flip, whole(drawn, 5, 5)[:, 4])


def test_resized_crops_have_the_areas_and_ratios_of_imagenet_training() -> None:
    """8 to 100 % of the area and 3:4 to 4:3, as in Szegedy et al. 2015 and torchvision's RandomResizedCrop."""
    drawn = boxes(draw("resized-crop", 20_000, 1000, 1000, torch.Generator().manual_seed(0)), 1000, 1000)
    _, _, height, width, _ = drawn.unbind(1)
    area, ratio = height * width / 1000**2, width / height
    torch.testing.assert_close(area.min(), torch.tensor(0.08), atol=1e-3, rtol=0)
    assert area.max() > 0.95
    assert 0.2 < (area < 0.3).float().mean() < 0.3, "uniform in the area, but for large boxes that do not fit"
    torch.testing.assert_close(ratio.min(), torch.tensor(3 / 4), atol=5e-3, rtol=0)
    torch.testing.assert_close(ratio.max(), torch.tensor(4 / 3), atol=5e-3, rtol=0)
    assert abs(float(ratio.log().mean())) < 0.01, "uniform in the logarithm of the ratio"
