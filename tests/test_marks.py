"""Files are known by what only wcord writes into them; damage and other programs' files are not."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from wcord.marks import (
    comment,
    generator,
    is_description,
    is_exported_onnx,
    is_exported_program,
    is_page_of,
    is_probe,
    is_record_of_suite,
    is_table,
    is_text_of,
)

PROBED = {"weights": "a", "architecture": "b", "dimensions": 3, "top1": {}, "data": "digits"}


def test_pages_and_texts_are_of_one_command(tmp_path: Path) -> None:
    (tmp_path / "a").write_text(f"<head>{generator('report')}</head>")
    assert is_page_of("report")(tmp_path / "a")
    assert not is_page_of("benchmark")(tmp_path / "a")
    (tmp_path / "a").write_text(f"{comment('benchmark')}\n# table\n")
    assert is_text_of("benchmark")(tmp_path / "a")
    (tmp_path / "a").write_text("# resnet8\n\n| input `images` | float32 |\n| output `logits` | float32, B×10 |\n")
    assert is_description(tmp_path / "a")


@pytest.mark.parametrize(
    ("content", "known"),
    [
        ([PROBED], True),
        ([PROBED, PROBED | {"seed": 3}], True),
        ([], False),
        ({}, False),
        (PROBED, False),
        ([PROBED, {"weights": "a"}], False),
        ([[1]], False),
    ],
)
def test_results_of_a_probe(tmp_path: Path, content: object, known: bool) -> None:
    (tmp_path / "a.json").write_text(json.dumps(content))
    assert is_probe(tmp_path / "a.json") == known


def field(number: int, content: bytes) -> bytes:
    assert len(content) < 128
    return bytes([number << 3 | 2, len(content)]) + content


def test_models_are_known_by_their_metadata(tmp_path: Path) -> None:
    metadata = field(14, field(1, b"wcord") + field(2, b"{}"))
    other = field(14, field(1, b"producer") + field(2, b"wcord"))
    graph = field(7, b"wcord in a name") + b"\x08\x0a" + b"\x11" + bytes(8) + b"\x1d" + bytes(4)
    for content, known in ((graph + other + metadata, True), (graph + other, False), (graph, False)):
        (tmp_path / "a.onnx").write_bytes(content)
        assert is_exported_onnx(tmp_path / "a.onnx") == known
    for inner, known in (("a/extra/wcord", True), ("a/extra/mine", False), ("wcord", False)):
        with zipfile.ZipFile(tmp_path / "a.pt2", "w") as archive:
            archive.writestr(inner, "{}")
        assert is_exported_program(tmp_path / "a.pt2") == known


@pytest.mark.parametrize(
    "known",
    [
        is_page_of("report"),
        is_text_of("benchmark"),
        is_description,
        is_probe,
        is_record_of_suite,
        is_table,
        is_exported_program,
        is_exported_onnx,
    ],
)
@pytest.mark.parametrize(
    "content", [b"", b"\0" * 5000, b"\xff" * 5000, b"PK\x03\x04", b"wcord", b"[" * 100_000, b"# wcord\n"]
)
def test_anything_else_is_not_known(tmp_path: Path, known: Callable[[Path], bool], content: bytes) -> None:
    (tmp_path / "a").write_bytes(content)
    assert not known(tmp_path / "a")
    assert not known(tmp_path / "none")
    assert not known(tmp_path)
