"""What each view shows, and what it says of images that it does not suit."""

import numpy as np
import pytest
import torch
from PIL import Image

from wcord.checks import UsageError
from wcord.data.view import View


def _random_images() -> torch.Tensor:
    return torch.rand(2, 3, 12, 10, generator=torch.Generator().manual_seed(0))


def test_no_view_gives_the_same_tensor() -> None:
    images = _random_images()
    assert View.parse(None)(images) is images
    assert not View.parse("")


def test_gray_is_that_of_pillow() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (9, 7, 3), np.uint8)
    seen = View.parse("gray")(torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255)
    expected = np.asarray(Image.fromarray(pixels).convert("L")) / 255
    assert np.abs(seen[0, 0].numpy() - expected).max() <= 1 / 255


@pytest.mark.parametrize(
    ("color", "lab"),
    [
        ((1, 1, 1), (100, 0, 0)),
        ((0, 0, 0), (0, 0, 0)),
        ((1, 0, 0), (53.24, 80.09, 67.20)),
        ((0, 0, 1), (32.30, 79.19, -107.86)),
    ],
)
def test_lab_of_known_colors(color: tuple[float, ...], lab: tuple[float, ...]) -> None:
    image = torch.tensor(color, dtype=torch.float32).view(1, 3, 1, 1).expand(1, 3, 2, 2)
    assert View.parse("lab-l")(image)[..., 0, 0].flatten().tolist() == pytest.approx([lab[0] / 100], abs=1e-3)
    expected = [(value + 128) / 255 for value in lab[1:]]
    assert View.parse("lab-ab")(image)[..., 0, 0].flatten().tolist() == pytest.approx(expected, abs=1e-3)


def test_edges_are_at_the_step_and_nowhere_else() -> None:
    image = torch.zeros(1, 3, 6, 6)
    image[..., 3:] = 1
    edges = View.parse("edges")(image)
    assert edges[0, 0, 2].tolist() == pytest.approx([0, 0, 1, 1, 0, 0], abs=1e-4)


def test_crop_takes_the_center_and_resize_keeps_the_mean() -> None:
    images = _random_images()
    assert torch.equal(View.parse("crop=6x4")(images), images[..., 3:9, 3:7])
    small = View.parse("resize=3x5")(images)
    assert small.shape == (2, 3, 3, 5)
    assert small.mean().item() == pytest.approx(images.mean().item(), abs=0.02)


def test_visits_are_the_first_ones() -> None:
    records = torch.arange(24.0).view(2, 3, 4, 1)
    assert torch.equal(View.parse("visits=1")(records), records[:, :, :1])
    assert torch.equal(View.parse("visits=9")(records), records)


def test_operations_follow_each_other() -> None:
    view = View.parse(" crop=8 , resize=4, lab-ab ")
    assert view.text == "crop=8,resize=4,lab-ab"
    assert view.shape((3, 12, 10)) == (2, 4, 4)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("grey", "unknown view 'grey': did you mean 'gray'"),
        ("resize", "view 'resize' needs a value, for instance resize=16"),
        ("gray=3", "view 'gray' takes no value"),
        ("resize=0", "whole numbers between 1 and 8192, received '0'"),
        ("resize=8xa", "whole numbers between 1 and 8192, received 'a'"),
    ],
)
def test_what_cannot_be_meant_is_refused_when_parsed(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        View.parse(text)


@pytest.mark.parametrize(
    ("text", "shape", "message"),
    [
        ("crop=20", (3, 12, 10), "larger than the images, 12×10"),
        ("lab-l", (1, 8, 8), "'lab-l' needs color images, received 1 channel"),
        ("lab-ab,edges", (3, 8, 8), "'edges' needs color images, received 2 channel"),
        *(
            (name, (3, 1, 1), f"'{name}' needs pictures, received rows of a table")
            for name in ("gray", "lab-l", "edges")
        ),
        ("rgb", (1, 1, 1), "'rgb' needs pictures, received rows of a table"),
    ],
)
def test_what_does_not_suit_the_images_is_refused(text: str, shape: tuple[int, int, int], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        View.parse(text).shape(shape)
