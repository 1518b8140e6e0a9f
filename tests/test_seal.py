"""Checksums inside files: every changed byte shows, and files without one are judged by what they have."""

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from wcord.seal import (
    damage_of_archive,
    damage_of_metadata,
    damage_of_tensors,
    digest_of,
    is_sealed,
    seal_archive,
    sealed,
    unsealed,
)

STATE = {"a": torch.arange(300.0), "b": torch.tensor(3), "none": torch.zeros(0), "half": torch.ones(2, 2).bfloat16()}


def checkpoint(path: Path, *, seal: bool = True) -> bytes:
    buffer = io.BytesIO()
    torch.save(STATE, buffer)
    path.write_bytes(seal_archive(buffer) if seal else buffer.getvalue())
    return path.read_bytes()


def test_a_sealed_archive_is_read_by_its_own_library(tmp_path: Path) -> None:
    checkpoint(tmp_path / "a.pt")
    assert damage_of_archive(tmp_path / "a.pt") is None
    assert torch.equal(torch.load(tmp_path / "a.pt", weights_only=True)["a"], STATE["a"])
    buffer = io.BytesIO()
    np.savez_compressed(buffer, x=np.arange(5))
    (tmp_path / "a.npz").write_bytes(seal_archive(buffer))
    assert damage_of_archive(tmp_path / "a.npz") is None
    assert np.load(tmp_path / "a.npz")["x"].tolist() == [0, 1, 2, 3, 4]


def test_each_changed_byte_of_a_sealed_archive_shows(tmp_path: Path) -> None:
    content, path = checkpoint(tmp_path / "a.pt"), tmp_path / "a.pt"
    places = [*range(0, len(content), 7), *range(len(content) - 120, len(content))]
    for place in places:
        path.write_bytes(content[:place] + bytes([content[place] ^ 1 << place % 8]) + content[place + 1 :])
        assert damage_of_archive(path) is not None, place
    for length in (0, 1, 100, len(content) - 100, len(content) - 77, len(content) - 40, len(content) - 1):
        path.write_bytes(content[:length])
        assert damage_of_archive(path) is not None, length
    path.write_bytes(content + b"more")
    assert damage_of_archive(path) is not None


def test_an_archive_of_an_earlier_version_is_judged_by_its_members(tmp_path: Path) -> None:
    content, path = checkpoint(tmp_path / "a.pt", seal=False), tmp_path / "a.pt"
    assert damage_of_archive(path) is None
    with zipfile.ZipFile(path) as archive:
        largest = max(archive.infolist(), key=lambda member: member.file_size)
    place = content.index(STATE["a"].numpy().tobytes()) + 40
    path.write_bytes(content[:place] + b"\xff" + content[place + 1 :])
    assert damage_of_archive(path) == f"the checksum of its part {largest.filename!r} does not match"
    for damaged in (content[:-10], content[: len(content) // 2], b"", b"no archive", bytes(500)):
        path.write_bytes(damaged)
        assert damage_of_archive(path) is not None


@pytest.mark.parametrize(
    "change",
    [
        lambda metadata, state: state["a"].__setitem__(7, -1.0),
        lambda metadata, state: state.__setitem__("c", state.pop("b")),
        lambda metadata, state: state.__setitem__("a", state["a"].int()),
        lambda metadata, state: state.__setitem__("a", state["a"].reshape(30, 10)),
        lambda metadata, state: metadata.__setitem__("card", "other"),
        lambda metadata, state: metadata.pop("card"),
        lambda metadata, state: metadata.pop("sha256_tensors"),
        lambda metadata, state: metadata.pop("sha256_metadata"),
        lambda metadata, state: metadata.__setitem__("sha256_tensors", "0" * 64),
    ],
)
def test_any_change_of_tensors_or_metadata_shows(change: Callable[..., None], tmp_path: Path) -> None:
    state = {name: value.clone() for name, value in STATE.items()}
    metadata = sealed({"card": "resnet8", "é": "ü"}, state)
    assert damage_of_tensors(metadata, state) is None
    change(metadata, state)
    save_file(state, tmp_path / "w.safetensors", metadata)
    with safe_open(tmp_path / "w.safetensors", "pt") as file:
        read, tensors = file.metadata(), file.get_tensors()
    assert "checksum" in (damage_of_tensors(read, tensors) or "")
    # Without the tensors, the metadata alone show what has become of them.
    assert (damage_of_metadata(read) is None) == (metadata == sealed({"card": "resnet8", "é": "ü"}, STATE))


def test_files_without_a_seal_pass_and_seals_come_off() -> None:
    for metadata in (None, {}, {"format": "pt"}):
        assert not is_sealed(metadata)
        assert damage_of_metadata(metadata) is None
        assert damage_of_tensors(metadata, STATE) is None
    assert unsealed(sealed({"format": "pt"}, STATE)) == {"format": "pt"}


def test_a_digest_depends_on_the_text_the_names_and_each_value() -> None:
    same = {name: value.clone() for name, value in reversed(STATE.items())}
    assert digest_of(same, "x") == digest_of(STATE, "x") != digest_of(STATE, "y")
    assert digest_of(STATE | {"a": STATE["a"] + 1}, "x") != digest_of(STATE, "x")


def test_a_seal_that_is_gone_is_damage_too(tmp_path: Path) -> None:
    """Zeros over it leave what zipfile reads as a whole archive without a comment."""
    content = checkpoint(tmp_path / "a.pt")
    for zeros in (1, 77, 78, 79):
        (tmp_path / "a.pt").write_bytes(content[:-zeros] + bytes(zeros))
        assert damage_of_archive(tmp_path / "a.pt") is not None, zeros
