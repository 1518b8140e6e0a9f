"""`wcord predict` prints each record with its classes, or JSON."""

import json
from pathlib import Path

import pytest
from PIL import Image

from wcord.cli import main
from wcord.models.card import ModelCard
from wcord.models.create import create_model
from wcord.models.weights import save_weights


def test_a_table_or_json(weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "new.csv").write_text("petal width (cm),petal length (cm),who\n0.2,1.4,a\n2.1,5.9,b\n")
    command = ["predict", "--weights", str(weights), str(tmp_path / "new.csv"), "--device", "cpu", "--top", "2"]
    assert main(command) == 0
    assert "new.csv, row 2" in capsys.readouterr().out.replace("\n", "")
    assert main([*command, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["record"].rpartition(", ")[2] for row in rows] == ["row 1", "row 2"]
    for row in rows:
        first, second = row["classes"]
        assert first["probability"] >= second["probability"]
        assert {first["name"], second["name"]} < {"setosa", "versicolor", "virginica"}


@pytest.fixture
def shades(tmp_path: Path) -> list[str]:
    """Return the command that names pictures by an untrained network, and make a folder of two of them."""
    card = ModelCard("resnet8", 2, image_size=(8, 8), classes=("dark", "light"), mean=(0.5,) * 3, std=(0.25,) * 3)
    save_weights(create_model("resnet8", num_classes=2), tmp_path / "s.safetensors", card=card)
    (tmp_path / "f").mkdir()
    for name in ("a.png", "b.jfif"):
        Image.new("RGB", (8, 8)).save(tmp_path / "f" / name, "PNG")
    return ["predict", "--weights", str(tmp_path / "s.safetensors"), "--device", "cpu", "--top", "1"]


def run(command: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, list[str], str]:
    """Return the exit code, the records that were named and what was told."""
    code = main([*command, "--json"])
    out, err = capsys.readouterr()
    rows = json.loads(out) if out else []
    assert all(("error" in row) != ("classes" in row) for row in rows)
    return code, [Path(row["record"]).name for row in rows if "classes" in row], err


@pytest.mark.parametrize(
    "name", ["._a.png", "metadata.csv", "x.wav", "x.h5", "x.mpg", "x.eps", ".Trash/c.png", "@eaDir/c.png", "Thumbs.db"]
)
def test_of_a_folder_only_pictures_are_named(
    name: str, shades: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "f" / name
    file.parent.mkdir(exist_ok=True)
    file.write_bytes((tmp_path / "f" / "a.png").read_bytes())
    code, named, told = run([*shades, str(tmp_path / "f")], capsys)
    assert (code, named) == (0, ["a.png", "b.jfif"])
    assert ("skipped: 1 " in told) == (name not in ("._a.png", "Thumbs.db"))


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n nothing", None])
def test_what_cannot_be_read_in_a_folder_is_told_after_the_rest(
    content: bytes | None, shades: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "f" / "aa.png"
    broken.write_bytes((tmp_path / "f" / "a.png").read_bytes()[:45] if content is None else content)
    code, named, told = run([*shades, str(tmp_path / "f")], capsys)
    assert (code, named) == (0, ["a.png", "b.jfif"])
    assert told.startswith(f"not read: picture {str(broken)!r} cannot be read")
    # By its name it is an error, after the others; unless such files may be skipped.
    command = [*shades, str(broken), str(tmp_path / "f" / "a.png")]
    code, named, told = run(command, capsys)
    assert (code, named, told.count("\n")) == (2, ["a.png"], 1)
    assert told.startswith("wcord: picture")
    assert run([*command, "--skip-bad-images"], capsys)[:2] == (0, ["a.png"])
    assert main(command) == 2
    assert "a.png" in capsys.readouterr().out


def test_where_nothing_can_be_read_the_command_fails(
    shades: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "g").mkdir()
    for name in ("a.png", "b.png"):
        (tmp_path / "g" / name).write_bytes(b"no picture")
    assert run([*shades, str(tmp_path / "g")], capsys)[:2] == (1, [])
    code, named, told = run([*shades, str(tmp_path / "g" / "a.png"), str(tmp_path / "g" / "b.png")], capsys)
    assert (code, named) == (2, [])
    assert "none of the 2 files can be read; the first: picture" in told
    (tmp_path / "h").mkdir()
    (tmp_path / "h" / "t.csv").write_text("a\n1\n")
    code, _, told = run([*shades, str(tmp_path / "h")], capsys)
    assert code == 2
    assert "holds no images but other files (.csv 1): name another" in told


def test_a_program_is_not_run(
    shades: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    program = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 16 16\n%%EndComments\n(MARK) (w) file closefile\nshowpage\n"
    for name in ("evil.png", "evil.eps", "evil"):
        Path(name).write_bytes(program)
        assert run([*shades, name], capsys)[:2] == (2, [])
    assert not Path("MARK").exists()
