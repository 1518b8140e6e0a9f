"""Which form the images of a set are brought to, found by looking at some of them."""

from collections import Counter

import torch

from wcord.checks import UsageError
from wcord.data.frame import Frame
from wcord.data.images import BadImageError, Form, kind_of, open_upright
from wcord.data.samples import Samples
from wcord.data.stores import ImageStore

LOOKED_AT = 1000
"""Images of each split whose header is read: enough to see a mixture, and under a second."""
MIXED_SIZE = 224
"""Pixels a side where sizes differ and none was asked for: what most ImageNet models were trained on."""


def find_form(splits: list[Samples], frame: Frame | None) -> tuple[Form, tuple[str, ...]]:
    """Look at up to `LOOKED_AT` evenly spaced images of each split and return the form that suits all of them.

    Colour if one of them is, else grey, of 16 bits if one of those is. They are fitted to `frame`; without one they
    stay as large as they are if all have one size, else they become squares of 224 pixels.

    Returns:
        The form, and notes for the reader of the result.

    Raises:
        UsageError: none of the images can be read.
    """
    modes: Counter[str] = Counter()
    sizes: Counter[tuple[int, int]] = Counter()
    for samples in splits:
        for mode, size in _headers(samples):
            modes[mode] += 1
            sizes[size] += 1
    if not sizes:
        raise UsageError(f"none of the {sum(map(len, splits))} images can be read: check that they are image files")
    if modes["RGB"] and modes["I;16"]:
        raise UsageError(
            "the data hold colour images and images of 16 bits, which have no form in common: keep one kind"
        )
    mode = "RGB" if modes["RGB"] else "I;16" if modes["I;16"] else "L"
    if frame is not None:
        return Form(mode, frame.height, frame.width, frame.fraction), ()
    if len(sizes) == 1:
        ((width, height),) = sizes
        return Form(mode, height, width), ()
    note = f"images of {len(sizes)} or more sizes, each resized to {MIXED_SIZE}×{MIXED_SIZE} (choose by --image-size)"
    return Form(mode, MIXED_SIZE, MIXED_SIZE), (note,)


def _headers(samples: Samples) -> list[tuple[str, tuple[int, int]]]:
    """Return (mode, (width, height)) of some images; those that cannot be read are told about later."""
    store = samples.store
    assert isinstance(store, ImageStore)
    places = torch.linspace(0, len(samples) - 1, min(LOOKED_AT, len(samples))).round().long()
    found = []
    for row in samples.rows[places].tolist():
        try:
            image = open_upright(lambda row=row: store.open(row), store.name(row))
        except BadImageError:
            continue
        found.append((kind_of(image.mode), image.size))
    return found
