"""Names of any kind go through every command and come out as they are, or are refused before the training."""

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from wcord.cli import main
from wcord.models.card import ModelCard
from wcord.models.create import create_model
from wcord.models.weights import save_weights

NASTY = 'kd[t=4] $x{$ :smile: <b>&"'
SMALL = ["--model", "resnet8", "--epochs", "1", "--batch-size", "8", "--device", "cpu"]
LATIN = b"caf\xe9"
"""A name on an old disk: no UTF-8."""


def pictures(root: Path, classes: list[str]) -> Path:
    for split in ("train", "test"):
        for number, name in enumerate(classes):
            (root / split / name).mkdir(parents=True)
            for i in range(6):
                Image.fromarray(np.full((8, 8, 3), 80 * number + i, np.uint8)).save(root / split / name / f"{i}.png")
    return root


def test_every_command_shows_names_as_they_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    classes = [NASTY, "[bold]", "5$ to 10$"]
    data = f"imagefolder:{pictures(tmp_path / NASTY.replace('/', '|'), classes)}"
    run = tmp_path / f"run {NASTY}"
    assert main(["train", *SMALL, "--data", data, "--out", str(run)]) == 0
    told = capsys.readouterr()
    assert f"into {run}" in told.err
    assert f"student  {run}/student.safetensors" in told.out
    assert NASTY in "".join(part.strip() for part in told.out.split("\n"))
    assert NASTY.replace("<", "&lt;") not in told.out
    record = json.loads((run / "record.json").read_text())
    assert record["classes"] == sorted(classes)

    weights = str(run / "student.safetensors")
    picture = tmp_path / f"{NASTY}.png"
    Image.new("RGB", (8, 8)).save(picture)
    assert main(["predict", "--weights", weights, str(picture)]) == 0
    told = capsys.readouterr()
    assert all(name in told.out for name in ("[bold]", "5$ to 10$", ":smile:"))
    assert main(["export", str(run), "--format", "torch", "--out", str(tmp_path / f"{NASTY}.pt2")]) == 0
    assert f"{NASTY}.pt2  agrees with PyTorch" in capsys.readouterr().out
    assert main(["evaluate", "--weights", weights, "--data", data]) == 0
    assert (
        main(["probe", "--weights", weights, "--data", data, "--neighbours", "3", "--out", str(tmp_path / "p.json")])
        == 0
    )
    page = tmp_path / f"page {NASTY}.html"
    assert main(["report", str(run), "--out", str(page)]) == 0
    assert f"report   {page}" in capsys.readouterr().out
    assert "<b>&" not in page.read_text()
    assert main(["train", "--resume", str(tmp_path / NASTY)]) == 2
    assert repr(str(tmp_path / NASTY)) in capsys.readouterr().err
    assert main(["train", *SMALL, "--out", str(tmp_path / "o"), "--method", NASTY]) == 2
    assert main(["distill", "--teacher", "resnet8", "--student", ":smile:[b]", "--out", str(tmp_path / "o")]) == 2
    assert ":smile:[b]" in capsys.readouterr().err


def test_orders_in_a_weights_file_do_not_reach_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    classes = ("\x1b]0;owned\x07a", "\x1b[2Jb", "\x9b2Jc", "caf\udce9")
    card = ModelCard("resnet8", 4, 3, (8, 8), classes, (0.5,) * 3, (0.2,) * 3)
    save_weights(create_model("resnet8", num_classes=4), tmp_path / "w.safetensors", card=ModelCard("resnet8", 4))
    card_text = json.loads(card.to_metadata()["wcord"])
    from safetensors.torch import load_file, save_file

    tensors = load_file(tmp_path / "w.safetensors")
    save_file(tensors, tmp_path / "w.safetensors", metadata={"format": "pt", "wcord": json.dumps(card_text)})
    Image.new("RGB", (8, 8)).save(tmp_path / "p.png")
    for flags in ([], ["--json"]):
        asked = ["predict", "--weights", str(tmp_path / "w.safetensors"), str(tmp_path / "p.png"), "--top", "4"]
        assert main([*asked, *flags]) == 0
        out = capsys.readouterr().out
        assert out.encode()
        assert not any(order in out for order in ("\x1b", "\x9b", "\x07"))
    assert {name["name"] for name in json.loads(out)[0]["classes"]} == set(classes)


@pytest.fixture
def latin(tmp_path: Path) -> Path:
    """A folder whose name is no UTF-8."""
    folder = Path(os.fsdecode(os.fsencode(tmp_path / "x" / "train") + b"/" + LATIN))
    try:
        folder.mkdir(parents=True)
    except OSError:
        pytest.skip("this file system takes no such names")
    return folder


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(list(arguments)) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("wcord: ")]
    assert line.encode()
    assert "is not valid UTF-8: rename it" in line
    assert "caf\\udce9" in line
    return line


def test_class_folders_that_are_no_utf8_are_refused_by_name(latin: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (latin.parent / "other").mkdir()
    for folder in (latin, latin.parent / "other"):
        for i in range(6):
            Image.new("RGB", (8, 8)).save(folder / f"{i}.png")
    root = latin.parents[1]
    out = str(root / "out")
    assert "class 'caf" in refused(capsys, "train", *SMALL, "--data", f"imagefolder:{root}", "--out", out)
    assert not (root / "out").exists()


def test_places_that_are_no_utf8_are_refused_by_name(latin: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "--out" in refused(capsys, "train", *SMALL, "--out", str(latin / "run"))
    out = ["--out", str(latin.parents[1] / "run")]
    assert "--weights" in refused(capsys, "train", *SMALL, "--weights", str(latin / "w.pth"), *out)
    told = refused(capsys, "train", *SMALL, "--data", f"imagefolder:{latin}", *out)
    assert "--data" in told
    assert not list(latin.iterdir())


def test_pictures_whose_names_are_no_utf8_are_fine(latin: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = pictures(latin.parents[1] / "set", ["a", "b"])
    for split in ("train", "test"):
        (root / split / "a" / "0.png").rename(root / split / "a" / f"{os.fsdecode(LATIN)}.png")
        (root / split / "b" / f"{os.fsdecode(LATIN)}.png").write_bytes(b"no picture")
    latin.rmdir()
    run = root / "run"
    flags = ["--data", f"imagefolder:{root}", "--skip-bad-images", "--out", str(run)]
    assert main(["train", *SMALL, *flags]) == 0
    record = json.loads((run / "record.json").read_text())
    assert any("caf\\udce9" in note for note in record["notes"])
    capsys.readouterr()
    picture = root / "test" / "a" / f"{os.fsdecode(LATIN)}.png"
    assert main(["predict", "--weights", str(run / "student.safetensors"), str(picture)]) == 0
    assert "caf\ufffd.png" in capsys.readouterr().out
    assert main(["predict", "--weights", str(run / "student.safetensors"), str(picture), "--json"]) == 0
    (guess,) = json.loads(capsys.readouterr().out)
    assert guess["record"] == str(picture)


@pytest.mark.skipif(sys.platform == "win32", reason="the shell of other systems")
def test_a_terminal_that_lacks_characters_shows_question_marks(tmp_path: Path) -> None:
    import subprocess

    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    asked = [sys.executable, "-m", "wcord.cli", "list", "--views"]
    done = subprocess.run(asked, capture_output=True, env=environment, timeout=120)
    assert done.returncode == 0, done.stderr
    assert b"N?M" in done.stdout
