"""Checksums inside the files that they cover, so that damage is noticed before a file is used."""

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

MARK = b"wcord sha256 "
LENGTH = len(MARK) + 64
"""Bytes of an archive's seal, which is its zip comment."""
TENSORS, METADATA = "sha256_tensors", "sha256_metadata"
"""Entries of a safetensors file's metadata: a digest of all tensors, and one of all other entries."""
END = 22
"""Bytes of the record that ends a zip archive without a comment."""
BLOCK = 1 << 20


def seal_archive(archive: io.BytesIO) -> bytes:
    """Return a zip archive (a checkpoint, an .npz) with a SHA-256 of all its bytes as its comment.

    Args:
        archive: the archive, without a comment; it is changed.
    """
    archive.seek(-2, os.SEEK_END)
    archive.write(LENGTH.to_bytes(2, "little"))
    with archive.getbuffer() as content:
        digest = hashlib.sha256(content).hexdigest()
    archive.write(MARK + digest.encode())
    return archive.getvalue()


def damage_of_archive(path: Path) -> str | None:
    """Return what is damaged in a zip archive, or None.

    An archive without a seal, from an earlier version, is judged by the checksums of its members.
    """
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(size - LENGTH, 0))
        end = file.read()
        if end.startswith(MARK):
            file.seek(0)
            return None if _digest(file, size - LENGTH) == end[len(MARK) :] else "its checksum does not match"
        if not (end[-END:].startswith(b"PK\5\6") and end.endswith(b"\0\0")):  # the end of one without a comment
            return "it is cut short or damaged at its end"
    try:
        with zipfile.ZipFile(path) as archive:
            member = archive.testzip()
    except Exception as error:  # zipfile raises a dozen kinds
        return f"it is not an intact archive: {error}"
    return None if member is None else f"the checksum of its part {member!r} does not match"


def _digest(file: io.BufferedReader, size: int) -> bytes:
    whole = hashlib.sha256()
    while size > 0 and (block := file.read(min(BLOCK, size))):
        whole.update(block)
        size -= len(block)
    return whole.hexdigest().encode()


def digest_of(state: "Mapping[str, Tensor]", about: str = "") -> str:
    """Return a digest of tensors, their names, and a text about them."""
    from torch import uint8  # archives do not need it

    whole = hashlib.sha256(about.encode())
    for name in sorted(state):
        value = state[name].detach().cpu().contiguous()
        whole.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        whole.update(value.reshape(-1).view(uint8).numpy().data)
    return whole.hexdigest()


def sealed(metadata: Mapping[str, str], state: "Mapping[str, Tensor]") -> dict[str, str]:
    """Return the metadata of a safetensors file with digests of the tensors and of the metadata."""
    with_tensors = dict(metadata) | {TENSORS: digest_of(state)}
    return with_tensors | {METADATA: _digest_of_metadata(with_tensors)}


def unsealed(metadata: Mapping[str, str]) -> dict[str, str]:
    """Return metadata without the digests."""
    return {name: value for name, value in metadata.items() if name not in (TENSORS, METADATA)}


def is_sealed(metadata: Mapping[str, str] | None) -> bool:
    """Return whether metadata hold a digest; those of other programs and of earlier versions do not."""
    return metadata is not None and (TENSORS in metadata or METADATA in metadata)


def damage_of_metadata(metadata: Mapping[str, str] | None) -> str | None:
    """Return what is damaged in the metadata of a safetensors file, or None; tensors are not checked."""
    if metadata is None or not is_sealed(metadata):
        return None
    others = {name: value for name, value in metadata.items() if name != METADATA}
    matches = TENSORS in metadata and metadata.get(METADATA) == _digest_of_metadata(others)
    return None if matches else "its metadata do not match the checksum in it"


def damage_of_tensors(metadata: Mapping[str, str] | None, state: "Mapping[str, Tensor]") -> str | None:
    """Return what is damaged in the metadata and the tensors of a safetensors file, or None."""
    if metadata is None or not is_sealed(metadata):
        return None
    damage = damage_of_metadata(metadata)
    matches = damage is not None or metadata[TENSORS] == digest_of(state)
    return damage if matches else "its tensors do not match the checksum in it"


def _digest_of_metadata(metadata: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps(metadata, sort_keys=True).encode()).hexdigest()
