"""Whatever lies in a file that somebody else has written, it works or is refused in one line."""

import io
import json
import os
import struct
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tomli_w
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save_file

from wcord import api
from wcord.benchmark.rows import Place, choose
from wcord.benchmark.suite import read_suite, suite_folder
from wcord.checks import RunError, UsageError
from wcord.cli.parsing import parse
from wcord.data.config import DataConfig
from wcord.data.formats import open_picture
from wcord.data.images import BadImageError, Form, decode, open_upright
from wcord.data.opening import open_data
from wcord.models.create import create_model
from wcord.report import tables
from wcord.report.record import Record
from wcord.training.config import DistillConfig, TrainConfig, setting_names

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, of damaged notes
FULL = os.environ.get("WCORD_ROBUSTNESS") == "full"
LONGEST = 2000
"""Characters of a message; names of files and lists of known names take most of it."""


def trials(count: int) -> Callable[[Any], Any]:
    """Fuzz so many times, or 20 times as often where all is tried."""
    quiet = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
    return settings(
        max_examples=20 * count if FULL else count, deadline=None, suppress_health_check=quiet, derandomize=not FULL
    )


Answers = Callable[[Callable[[], object]], None]


@pytest.fixture
def answers(request: pytest.FixtureRequest, tally: Callable[[str, bool], bool]) -> Answers:
    """Return what fails unless a call works, or refuses in one line; each call is counted."""
    kind = f"fuzz: {request.node.originalname.removeprefix('test_').replace('_', ' ')}"

    def check(call: Callable[[], object]) -> None:
        try:
            call()
        except (UsageError, RunError) as error:
            line = str(error)
            held = len(line.splitlines()) == 1 and len(line) < LONGEST
            assert tally(kind, held), line
        except BaseException:
            tally(kind, False)
            raise
        else:
            tally(kind, True)

    return check


def changed(content: dict[str, Any], path: tuple[str, ...], value: object) -> dict[str, Any]:
    """Return a nested dictionary with another value at a path."""
    first, *rest = path
    if not rest:
        return content | {first: value}
    inner = content.get(first)
    return content | {first: changed(inner if isinstance(inner, dict) else {}, tuple(rest), value)}


numbers = st.integers(-(10**30), 10**30) | st.floats() | st.sampled_from([0, 1, -1, 10**9, 2**63, 1e-45, 1e308])
scalars = (
    st.none() | st.booleans() | numbers | st.text(max_size=20) | st.sampled_from(["\x1b[2J", "a" * 10_000, "os:abort"])
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=6,
)

CARD = {
    "architecture": "mlp4x1", "num_classes": 2, "in_channels": 3, "image_size": [4, 4], "classes": ["a", "b"],
    "mean": [0.5] * 3, "std": [0.5] * 3, "view": "", "columns": [], "record_shape": [3, 4, 4], "crop_fraction": 1.0,
    "embedding": "", "extra": {"sounds": False, "cut": {"split_seed": 0, "holdout": 0.2, "group_by": None}},
}  # fmt: skip
PLACES = [(name,) for name in CARD] + [
    ("extra", name) for name in ("sounds", "cut", "categories", "several_labels", "top1_last", "data", "method", "seed")
]
PLACES += [("extra", "cut", name) for name in ("split_seed", "holdout", "group_by", "samples", "held_out")]
likely = st.sampled_from(
    [
        "resnet8",
        "mlp9x9",
        "mlp99999x99",
        "simkd:a:b",
        "timm:",
        "hf:x",
        "gray",
        "resize=2,crop=1",
        "resize=99999",
        "x" * 999,
    ]
) | st.sampled_from(
    [[1, 1], [8192, 8192], [1], [4, 4, 4], [0, 0], [-1, 4], [3, 1, 1], [0.5] * 3, [1e-45] * 3, ["a"] * 3]
)


@trials(40)
@given(place=st.sampled_from(PLACES), value=values | likely, again=st.sampled_from(PLACES), other=likely | st.just(...))
def test_cards(
    answers: Answers, tmp_path: Path, place: tuple[str, ...], value: object, again: tuple[str, ...], other: object
) -> None:
    card = changed(CARD, place, value)
    if other is not ...:
        card = changed(card, again, other)
    state = create_model("mlp4x1", num_classes=2, image_size=(4, 4)).state_dict()
    weights, picture = tmp_path / "a.safetensors", tmp_path / "a.png"
    save_file(state, weights, {"wcord": json.dumps(card)})
    Image.new("RGB", (6, 5)).save(picture)
    answers(lambda: api.predict_files(weights, picture, device="cpu"))


@trials(20)
@given(
    text=st.text(max_size=60) | st.sampled_from(["[" * 10_000, '{"a":' * 10_000, "9" * 5000, '{"num_classes": 1e999}'])
)
def test_text_of_cards(answers: Answers, tmp_path: Path, text: str) -> None:
    save_file({"fc.bias": torch.zeros(2)}, tmp_path / "a.safetensors", {"wcord": text})
    answers(lambda: api.predict_files(tmp_path / "a.safetensors", [], device="cpu"))


@trials(60)
@given(place=st.integers(0, 400), byte=st.integers(0, 255), cut=st.booleans())
def test_bytes_of_weights_files(answers: Answers, tmp_path: Path, place: int, byte: int, cut: bool) -> None:
    save_file({"fc.bias": torch.zeros(2)}, tmp_path / "a.safetensors", {"wcord": json.dumps(CARD)})
    content = bytearray((tmp_path / "a.safetensors").read_bytes())
    content[place] = byte
    (tmp_path / "a.safetensors").write_bytes(content[:place] if cut else content)
    answers(lambda: api.predict_files(tmp_path / "a.safetensors", [], device="cpu"))


def toml(content: dict[str, Any]) -> bytes:
    """Return TOML, of which null, text that is no UTF-8 and numbers of more than 64 bits are no part."""
    try:
        return tomli_w.dumps(content).encode(errors="replace")
    except (TypeError, ValueError):
        return json.dumps(content).encode()


@trials(60)
@given(name=st.sampled_from(setting_names(DistillConfig)) | st.text(max_size=9), value=values, table=st.booleans())
@pytest.mark.parametrize("kind", [TrainConfig, DistillConfig])
def test_recipes(answers: Answers, tmp_path: Path, kind: Any, name: str, value: object, table: bool) -> None:
    names = {"model": "resnet8"} if kind is TrainConfig else {"teacher": "resnet8", "student": "resnet8"}
    content = {**names, "out": "x", **({"training": {name: value}} if table else {name: value})}
    (tmp_path / "r.toml").write_bytes(toml(content))
    answers(lambda: parse(kind, "train", ["--recipe", str(tmp_path / "r.toml")]))


@trials(40)
@given(content=st.binary(max_size=60) | st.text(max_size=60).map(str.encode) | st.just(b"a=" + b"[" * 5000))
def test_bytes_of_recipes_and_suites(answers: Answers, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "r.toml").write_bytes(content)
    answers(lambda: parse(TrainConfig, "train", ["--recipe", str(tmp_path / "r.toml")]))
    answers(lambda: read_suite(str(tmp_path / "r.toml")))


MINI: dict[str, Any] = tomllib.loads((suite_folder() / "mini.toml").read_text())
IN_SUITES = [(name,) for name in (*MINI, "base", "variants", "options", "published", "split_by_seed")]
IN_SUITES += [("variants", "x"), ("variants", "x", "method"), ("options", "resnet14x2:resnet8"), ("training", "epochs")]
IN_SUITES += [("data", "data"), ("teacher", "lr"), ("distill", "set")]


@trials(50)
@given(
    place=st.sampled_from(IN_SUITES),
    value=values | st.sampled_from([["kd", "*"], [["a", "b"]], [0, 0], "r.toml", "mini"]),
)
def test_suites(answers: Answers, tmp_path: Path, place: tuple[str, ...], value: object) -> None:
    (tmp_path / "r.toml").write_bytes(toml(changed(MINI, place, value)))

    def used() -> None:
        suite = read_suite(str(tmp_path / "r.toml"))
        for row in choose(suite)[:1]:
            row.config(Place(out=tmp_path), None)

    answers(used)


cells = (
    st.text(max_size=6)
    | st.floats().map(str)
    | st.integers(-9, 9).map(str)
    | st.sampled_from(["", "NA", '"', "1,5", "\x00"])
)
rows = st.lists(st.lists(cells, min_size=1, max_size=4), min_size=1, max_size=9)


@trials(60)
@given(
    header=st.lists(st.sampled_from(["x", "y", "label", "", "x "]), min_size=1, max_size=4),
    body=rows,
    mark=st.sampled_from(",;\t|"),
)
def test_tables(answers: Answers, tmp_path: Path, header: list[str], body: list[list[str]], mark: str) -> None:
    text = "\n".join(mark.join(row) for row in [header, *body, *body])
    (tmp_path / "a.csv").write_bytes(text.encode(errors="replace"))
    answers(lambda: open_data(DataConfig(data=f"table:{tmp_path / 'a.csv'}")))


@trials(40)
@given(content=st.binary(max_size=200))
def test_bytes_of_tables(answers: Answers, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    answers(lambda: open_data(DataConfig(data=f"table:{tmp_path / 'a.csv'}", label="x")))


def picture(kind: str, **more: Any) -> bytes:
    buffer = io.BytesIO()
    Image.linear_gradient("L").resize((9, 7)).convert("RGB").save(buffer, kind, **more)
    return buffer.getvalue()


def tag(number: int, kind: int, count: int, value: int) -> bytes:
    return struct.pack("<HHII", number, kind, count, value)


tags = st.lists(
    st.builds(
        tag, st.sampled_from([0x0112, 0x8769, 0x8825, 0xA005, 0x927C]) | st.integers(0, 65535), st.integers(0, 20),
        st.integers(0, 2**32 - 1) | st.just(1), st.integers(0, 2**32 - 1) | st.integers(0, 9),
    ),
    max_size=5,
)  # fmt: skip
notes = st.binary(max_size=60) | tags.map(
    lambda found: b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", len(found)) + b"".join(found) + b"\0\0\0\0"
)


def pixels(content: bytes) -> None:
    """Read a picture, which may fail as a file that cannot be read does."""
    try:
        opened = open_upright(lambda: open_picture(content, "a.png"), "picture 'a.png'")
        assert decode(opened, Form("RGB", 8, 8)).shape == (3, 8, 8)
    except BadImageError as error:
        raise UsageError(f"picture 'a.png' cannot be read ({error})") from None


@trials(200)
@given(note=notes, kind=st.sampled_from(["JPEG", "PNG", "WEBP", "TIFF"]))
def test_exif(answers: Answers, note: bytes, kind: str) -> None:
    answers(lambda: pixels(picture(kind, exif=note) if kind != "TIFF" else picture(kind) + note))


@trials(200)
@given(
    kind=st.sampled_from(["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "ICO", "TGA", "PCX"]),
    changes=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=6),
    cut=st.integers(0, 900),
)
def test_bytes_of_pictures(answers: Answers, kind: str, changes: list[tuple[int, int]], cut: int) -> None:
    content = bytearray(picture(kind))
    for place, byte in changes:
        content[place % len(content)] = byte
    answers(lambda: pixels(bytes(content[:cut] if cut < 300 else content)))


RECORD: dict[str, Any] = {
    "schema_version": 1, "name": "r8", "kind": "distill", "method": "kd", "student": "resnet8", "teacher": "resnet14",
    "data": "digits", "seed": 3, "config": {"data": {"data": "digits"}, "training": {"lr": 0.05}}, "num_classes": 2,
    "classes": ["a", "b"], "epochs": [{"epoch": 1, "loss": 2.5, "parts": {"kd": 1.0}, "test_top1": 50.0}],
    "metrics": {"top1_last": 50.0, "commonest": 50.0}, "teacher_metrics": {"top1": 75.0},
    "cost": {"student": {"parameters": 10}, "teacher": None}, "environment": {}, "wall_seconds": 12, "notes": [],
}  # fmt: skip
IN_RECORDS = [(name,) for name in RECORD] + [
    ("metrics", "top1_last"),
    ("metrics", "norm_statistics"),
    ("cost", "student"),
]
IN_RECORDS += [
    ("cost", "teacher", "parameters"),
    ("config", "data"),
    ("teacher_metrics", "top1"),
    ("metrics", "map_last"),
]


@trials(100)
@given(place=st.sampled_from(IN_RECORDS), value=values)
def test_records(answers: Answers, tmp_path: Path, place: tuple[str, ...], value: object) -> None:
    (tmp_path / "record.json").write_text(json.dumps(changed(RECORD, place, value)), encoding="utf-8")

    def used() -> None:
        record = Record.from_json(tmp_path / "record.json")
        found = tables.rows([record])
        assert [tables.cells(row, tables.headings(found)) for row in found]
        assert tables.terminal_table(found)

    answers(used)
