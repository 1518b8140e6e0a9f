"""Detects whether data have changed since a run began: digests of their contents, and the difference in words."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from wcord.data.dataset import DataSet
from wcord.data.split import MemorySplit, Origin, Split, base_and_view

READ = 1000
"""Images of each split whose bytes are read, evenly spaced; the sizes of the others show most changes."""
BLOCK = 4096
"""Rows of a tensor that are read at a time."""

Contents = Mapping[str, Any]
"""Aspect of the data → its digest, or the number of samples; a mapping for each split and for `teacher`.

`files` is for settings that name files about the data: setting → digest."""


def contents_of(data: DataSet) -> dict[str, Any]:
    """Return digests of the student's data and, if they differ, of the teacher's.

    Stored numbers count to their last bit, since a run resumes bit for bit or not at all. Digests of files depend on
    their names, their sizes and the bytes of a thousand of them; not on the machine, the folder, or how they are read
    (in memory or not, at which size, through which view).
    """
    digests = _side(data)
    return digests if data.teacher is None else digests | {"teacher": _side(data.teacher)}


def difference(before: Contents, now: Contents, *, but: Sequence[str] = ()) -> str | None:
    """Return the first thing in which data differ from those that a run began with, or None.

    Args:
        before: what `contents_of` gave then; aspects that are missing there are skipped.
        now: what it gives now.
        but: aspects that may differ.
    """
    for name, whose in (("", ""), ("teacher", "teacher's ")):
        one, other = (before.get(name), now.get(name)) if name else (before, now)
        if one is None or other is None:
            continue
        change = _difference(one, other, but)
        if change is not None:
            return whose + change
    files = now.get("files", {})
    changed = [name for name, digest in before.get("files", {}).items() if files.get(name, digest) != digest]
    return f"file of --{changed[0].replace('_', '-')} holds something else" if changed else None


def _difference(before: Contents, now: Contents, but: Sequence[str]) -> str | None:
    for split in ("train", "test"):
        counts = [side[split]["samples"] for side in (before, now)]
        if counts[0] != counts[1]:
            return f"{split} split had {counts[0]} samples and now has {counts[1]}"
    if before["classes"] != now["classes"]:
        counts = [side["number_of_classes"] for side in (before, now)]
        if counts[0] != counts[1]:
            return f"data had {counts[0]} classes and now have {counts[1]}"
        return "classes have other names, or another order"
    if before["columns"] != now["columns"]:
        return "columns are others, or stand in another order"
    words = {
        "names": "split holds files of other names",
        "labels": "split has other labels",
        "content": "split holds other samples, though as many",
    }
    for aspect, change in words.items():
        for split in ("train", "test"):
            compared = aspect not in but and aspect in before[split]
            if compared and before[split][aspect] != now[split][aspect]:
                return f"{split} {change}"
    return None


def _side(data: DataSet) -> dict[str, Any]:
    return {
        "classes": _digest(data.classes),
        "number_of_classes": len(data.classes),
        "columns": _digest(data.columns),
        "train": _split(data.train),
        "test": _split(data.test),
    }


def _split(split: Split) -> dict[str, Any]:
    base, _ = base_and_view(split)
    origin = base.origin
    if origin is None and isinstance(base, MemorySplit):
        origin = base.images, torch.arange(len(base))
    return {
        "samples": len(split),
        "labels": _digest([split.targets.cpu().to(torch.int64).numpy().tobytes()]),
        **fingerprint(origin),
    }


def fingerprint(origin: Origin | None) -> dict[str, str | None]:
    """Return digests of the names and the contents of some rows of a store; None where they are unknown."""
    if origin is None:
        return {"names": None, "content": None}
    store, rows = origin
    if isinstance(store, Tensor):
        return {"names": None, "content": _digest(_blocks(store, rows))}
    places: list[int] = rows.tolist()
    names = store.relative_names()
    looked_at = torch.linspace(0, max(len(places) - 1, 0), min(READ, len(places))).round().long().tolist()
    content = [store.sizes(rows.numpy()).tobytes(), *(store.encoded(places[place]) for place in looked_at)]
    return {
        "names": _digest([names[row] for row in places]) if names else None,
        "content": _digest(content),
    }


def _blocks(store: Tensor, rows: Tensor) -> Iterable[bytes]:
    yield f"{tuple(store.shape[1:])} {store.dtype}".encode()
    for block in rows.split(BLOCK):
        values = store[block.to(store.device)].cpu().contiguous()
        yield values.view(torch.uint8).numpy().tobytes()


def _digest(parts: Iterable[str | bytes]) -> str:
    """Return a digest of a sequence that depends on where one part ends and the next begins."""
    whole = hashlib.sha256()
    for part in parts:
        content = part.encode("utf-8", "surrogateescape") if isinstance(part, str) else part
        whole.update(hashlib.sha256(content).digest())
    return whole.hexdigest()[:32]
