"""Decodes a whole split into memory, in several threads, and finds the form that suits all images of a set."""

import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from wcord.checks import UsageError
from wcord.data.images import BadImageError, Form, Frame, UnreadableError, decode, kind_of, open_upright
from wcord.data.limits import require_memory
from wcord.data.samples import Samples
from wcord.data.stores import ImageStore
from wcord.terminal import Terminal

CHUNK = 256
"""Images a thread takes at a time."""
Pixels = NDArray[Any]
PATIENCE = 1.0
"""Seconds before a progress bar appears."""


@dataclass(frozen=True)
class Bad:
    """An image that cannot be read: its position among the samples, its name, and why."""

    position: int
    name: str
    reason: str


def decode_all(samples: Samples, form: Form, *, title: str) -> tuple[Tensor, list[Bad]]:
    """Decode every image, N×C×H×W, uint8 or of the form's type; those that cannot be read are zero, and listed.

    Threads, not processes: Pillow releases the interpreter while it decompresses, and nothing has to be copied.
    """
    images = np.zeros((len(samples), *form.shape), form.dtype)
    bad: list[Bad] = []
    for chunk in _in_chunks(samples, form, title, images):
        bad += chunk
    return torch.from_numpy(images), bad


def check_all(samples: Samples, form: Form, *, title: str) -> list[Bad]:
    """Decode every image, and return those that cannot be read."""
    return [one for chunk in _in_chunks(samples, form, title, None) for one in chunk]


def without_bad(samples: Samples, bad: list[Bad], *, skip: bool, split: str) -> tuple[Tensor, tuple[str, ...]]:
    """Return the positions of the samples that can be read, and a note on the others.

    Raises:
        UsageError: an image cannot be read and `skip` is false; or none is left.
    """
    keep = torch.ones(len(samples), dtype=torch.bool)
    if not bad:
        return torch.where(keep)[0], ()
    if not skip:
        raise UnreadableError(bad[0].name, bad[0].reason)
    if len(bad) == len(samples):
        raise UsageError(f"none of the {len(samples)} {split} images can be read; the first: {bad[0].name}")
    keep[[one.position for one in bad]] = False
    names = ", ".join(one.name for one in bad[:3]) + (", …" if len(bad) > 3 else "")
    return torch.where(keep)[0], (f"left out {len(bad)} of {len(samples)} {split} images, unreadable: {names}",)


def resize_all(images: Tensor, frame: Frame) -> Tensor:
    """Fit decoded images, N×C×H×W, to a frame as `images.fit` does: resized until they cover it, then the center."""
    if tuple(images.shape[-2:]) == (frame.height, frame.width) and frame.fraction == 1:
        return images
    fitted, (top, left) = frame.cover(*images.shape[-2:])
    size = images.shape[:2].numel() * frame.height * frame.width * images.element_size()
    require_memory(size, f"{len(images):,} pictures resized to {frame.height}×{frame.width} pixels")
    out = images.new_empty(len(images), images.shape[1], frame.height, frame.width)
    for start in range(0, len(images), 4096):  # in blocks, because the work is done in floating point
        block = F.interpolate(images[start : start + 4096].float(), fitted, mode="bilinear", antialias=True)
        block = block[..., top : top + frame.height, left : left + frame.width]
        out[start : start + 4096] = block if images.is_floating_point() else block.round().clamp(0, 255).byte()
    return out


def _in_chunks(samples: Samples, form: Form, title: str, images: Pixels | None) -> Iterator[list[Bad]]:
    starts = range(0, len(samples), CHUNK)
    pool = ThreadPoolExecutor(min(8, os.cpu_count() or 1))
    try:
        with _progress(title, len(samples)) as advance:
            for start, bad in zip(
                starts, pool.map(lambda start: _decode_chunk(samples, form, start, images), starts), strict=True
            ):
                advance(min(CHUNK, len(samples) - start))
                yield bad
    finally:
        pool.shutdown(cancel_futures=True)


def _decode_chunk(samples: Samples, form: Form, start: int, images: Pixels | None) -> list[Bad]:
    store = samples.store
    assert isinstance(store, ImageStore)
    bad = []
    for position, row in enumerate(samples.rows[start : start + CHUNK].tolist(), start):
        name = store.name(row)
        try:
            pixels = decode(open_upright(lambda row=row: store.open(row), name), form)
        except BadImageError as error:
            bad.append(Bad(position, name, str(error)))
            continue
        if images is not None:
            images[position] = pixels
    return bad


@contextmanager
def _progress(title: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show a temporary progress bar on a terminal's error stream, once the work takes longer than `PATIENCE`."""
    bar = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Terminal(file=sys.stderr),
        transient=True,
    )
    task = bar.add_task(title, total=total)
    started, shown = monotonic(), False

    def advance(count: int) -> None:
        nonlocal shown
        bar.advance(task, count)
        if not shown and bar.console.is_terminal and monotonic() - started > PATIENCE:
            bar.start()
            shown = True

    try:
        yield advance
    finally:
        if shown:
            bar.stop()


LOOKED_AT = 1000
"""Images of each split whose header is read, in under a second."""
MIXED_SIZE = 224
"""Pixels a side where sizes differ and none is configured: the training size of most ImageNet models."""


def find_form(splits: list[Samples], frame: Frame | None) -> tuple[Form, tuple[str, ...]]:
    """Return the form that suits all images, from up to `LOOKED_AT` evenly spaced ones of each split.

    Color if one of them is, else gray, of 16 bits if one of those is. They are fitted to `frame`; without one they
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
            "the data hold color images and images of 16 bits, which have no form in common: keep one kind"
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
    """Return (mode, (width, height)) of some images; unreadable ones are reported later."""
    store = samples.store
    assert isinstance(store, ImageStore)
    places = torch.linspace(0, len(samples) - 1, min(LOOKED_AT, len(samples))).round().long()
    headers = []
    for row in samples.rows[places].tolist():
        try:
            image = open_upright(lambda row=row: store.open(row), store.name(row))
        except BadImageError:
            continue
        headers.append((kind_of(image.mode), image.size))
    return headers
