"""Commands that are told to write over what is not theirs refuse in one line, and leave every byte where it was."""

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from wcord.cli import main

pytestmark = pytest.mark.pages

TRAIN = ["train", "--model", "mlp8x1", "--data", "sklearn:iris", "--epochs", "1", "--device", "cpu"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("overwriting") / "run"
    assert main([*TRAIN, "--out", str(out)]) == 0
    return out


def fill(folder: Path, *files: str) -> None:
    for name in files:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"precious {name}")


def hugo(folder: Path, run: Path) -> None:
    fill(folder, "content/post.md", "themes/x/theme.toml", "static/logo.png")
    (folder / "config.toml").write_text('baseURL = "https://example.org"\ntitle = "Mine"\n')


def cargo(folder: Path, run: Path) -> None:
    (folder / ".cargo").mkdir(parents=True)
    fill(folder, "Cargo.toml", "src/main.rs")
    (folder / "config.toml").write_text('[build]\njobs = 2\n[data]\ndata = "x"\n[training]\nepochs = 1\n')


def streamlit(folder: Path, run: Path) -> None:
    folder.mkdir()
    (folder / "config.toml").write_text("[server]\nport = 8501\n")


def git(folder: Path, run: Path) -> None:
    fill(folder, ".git/HEAD", ".git/config", "README.md", "report.html", "record.json")


def home(folder: Path, run: Path) -> None:
    fill(folder, ".ssh/id_ed25519", ".bashrc", "thesis.tex", ".config/x/config.toml")
    shutil.copytree(run, folder / "run")


def folder_of_runs(folder: Path, run: Path) -> None:
    for name in ("teacher", "kd", "r20"):
        shutil.copytree(run, folder / name)


def folder_of_runs_beside_settings(folder: Path, run: Path) -> None:
    shutil.copytree(run, folder / "teacher")
    shutil.copy(run / "config.toml", folder / "config.toml")


def link_to_a_run(folder: Path, run: Path) -> None:
    shutil.copytree(run, folder.with_name("elsewhere"))
    folder.symlink_to("elsewhere")


def run_with_notes(folder: Path, run: Path) -> None:
    shutil.copytree(run, folder)
    fill(folder, "notes.md")


def run_with_a_run_in_it(folder: Path, run: Path) -> None:
    shutil.copytree(run, folder)
    shutil.copytree(run, folder / "again")


def run_with_another_model(folder: Path, run: Path) -> None:
    shutil.copytree(run, folder)
    fill(folder, "student.onnx", "checkpoints/best.pt")


def run_whose_checkpoints_lie_elsewhere(folder: Path, run: Path) -> None:
    shutil.copytree(run, folder)
    (folder / "checkpoints").rename(folder.with_name("checkpoints"))
    (folder / "checkpoints").symlink_to("../checkpoints")


def data_and_a_record(folder: Path, run: Path) -> None:
    fill(folder, "train.csv", "metrics.jsonl", "analysis.npz", "checkpoints/step-000000012.pt")


def recipe(folder: Path, run: Path) -> None:
    folder.mkdir()
    shutil.copy(run / "config.toml", folder / "config.toml")


FOLDERS = [
    hugo,
    cargo,
    streamlit,
    git,
    home,
    folder_of_runs,
    folder_of_runs_beside_settings,
    link_to_a_run,
    run_with_notes,
    run_with_a_run_in_it,
    run_with_another_model,
    run_whose_checkpoints_lie_elsewhere,
    data_and_a_record,
    recipe,
]


def snapshot(folder: Path) -> dict[str, str]:
    """Return what lies in a folder: links by where they lead, files by their digest."""
    found: dict[str, str] = {}
    for place, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            path = Path(place) / name
            key = str(path.relative_to(folder))
            if path.is_symlink():
                found[key] = os.readlink(path)
            elif path.is_dir():
                found[key] = "folder"
            else:
                found[key] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def refused(
    arguments: list[str],
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    tally: Callable[[str, bool], bool],
    kind: str,
) -> str:
    """Run a command that must refuse, and return the line that it says."""
    before = snapshot(folder)
    capsys.readouterr()
    code = main(arguments)
    said = capsys.readouterr().err.strip()
    held = code == 2 and said.startswith("wcord: ") and "Traceback" not in said and snapshot(folder) == before
    tally(kind, held)
    assert snapshot(folder) == before
    assert (code, said[:7]) == (2, "wcord: ")
    return said


@pytest.mark.parametrize("make", FOLDERS)
def test_folders_that_are_no_run_are_left_alone(
    make: Callable[[Path, Path], None],
    run: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    tally: Callable[[str, bool], bool],
) -> None:
    make(tmp_path / "out", run)
    out = ["--out", str(tmp_path / "out")]
    for command in ([*TRAIN, *out], [*TRAIN, *out, "--overwrite"], ["demo", *out]):
        refused(command, tmp_path, capsys, tally, "folders of others")


@pytest.mark.parametrize("make", [hugo, git, run_with_notes, data_and_a_record, link_to_a_run])
def test_a_suite_leaves_other_things_in_the_folders_of_its_runs_alone(
    make: Callable[[Path, Path], None],
    run: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    tally: Callable[[str, bool], bool],
) -> None:
    row = tmp_path / "out" / "mini" / "resnet14x2-resnet8" / "kd" / "seed0"
    row.parent.mkdir(parents=True)
    make(row, run)
    for name in ("config.toml", "record.json"):
        (row / name).unlink(missing_ok=True)  # a run that is there is gone on with, or done
    command = [
        "benchmark",
        "mini",
        "--data",
        "digits",
        "--pairs",
        "resnet14x2:resnet8",
        "--methods",
        "kd",
        "--seeds",
        "0",
    ]
    said = refused([*command, "--out", str(tmp_path / "out")], tmp_path, capsys, tally, "folders of others")
    assert "seed0" in said


@pytest.mark.parametrize("name", ["tables.md", "tables.csv", "tables.html"])
def test_a_suite_leaves_other_tables_alone(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], tally: Callable[[str, bool], bool]
) -> None:
    fill(tmp_path / "out" / "mini", name)
    out = ["--out", str(tmp_path / "out")]
    for command in (["benchmark", "mini", "--data", "digits", *out], ["benchmark", "mini", "--tables", *out]):
        assert name in refused(command, tmp_path, capsys, tally, "files of others")


def needed_inside(folder: Path) -> dict[str, list[str]]:
    """Return settings that name what lies in a run's folder, by many names for it."""
    weights, data = folder / "student.safetensors", folder / "analysis.npz"
    (folder.parent / "link.safetensors").symlink_to(weights)
    (folder.parent / "link.npz").symlink_to("link again.npz")
    (folder.parent / "link again.npz").symlink_to(data)
    (folder.parent / "home").symlink_to(folder)
    there = folder / ".." / folder.name
    teacher_data = f"npz:{folder.parent / 'home' / data.name}"
    distill = ["distill", "--teacher", "mlp8x1", "--student", "mlp8x1", "--method", "kd", "--data", "sklearn:iris"]
    return {
        "--weights": [*TRAIN, "--weights", str(weights)],
        "--teacher-weights": [*distill, "--teacher-weights", str(folder.parent / "link.safetensors")],
        "--student-weights": [*distill, "--teacher-weights", "x", "--student-weights", str(there / weights.name)],
        "--data": ["train", "--model", "mlp8x1", "--data", f"npz:{folder.parent / 'link.npz'}"],
        "--teacher-data": [
            *distill,
            "--teacher-weights",
            "x",
            "--teacher-data",
            teacher_data,
        ],
        "--label-map": [*distill, "--teacher-weights", "x", "--label-map", str(folder / "metrics.jsonl")],
        "--class-weights": [*TRAIN, "--class-weights", str(there / "metrics.jsonl")],
        "--teacher-cache": [*TRAIN, "--teacher-cache", str(folder / "checkpoints")],
    }


def test_what_a_run_needs_is_not_removed_for_it(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], tally: Callable[[str, bool], bool]
) -> None:
    shutil.copytree(run, tmp_path / "out")
    for flag, command in needed_inside(tmp_path / "out").items():
        out = ["--out", str(tmp_path / "out"), "--overwrite"]
        said = refused([*command, *out], tmp_path, capsys, tally, "what a run needs")
        assert f"holds {flag} " in said


def test_a_run_is_replaced_all_the_same(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "out")
    for name in (".record.json.0a1b2c3d.part", "checkpoints/.step-000000009.pt.77.part"):
        (tmp_path / "out" / name).touch()
    assert main([*TRAIN, "--out", str(tmp_path / "out"), "--overwrite"]) == 0
    assert sorted(snapshot(tmp_path / "out")) == sorted(snapshot(run))


@pytest.mark.parametrize(
    "name",
    ["record.json", "student.safetensors", "config.toml", "notes.html", "notes.md", "link.html", "a.csv", "page"],
)
@pytest.mark.parametrize("command", ["report", "probe", "export", "export --format torch"])
def test_results_are_not_written_over_other_files(
    command: str,
    name: str,
    run: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    tally: Callable[[str, bool], bool],
) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    fill(copy, "notes.html", "notes.md", "a.csv", "page")
    (copy / "link.html").symlink_to("report.html")
    what = ["--weights", str(copy / "student.safetensors")] if command == "probe" else [str(copy)]
    data = ["--data", "sklearn:iris"] if command == "probe" else []
    out = ["--out", str(copy / name)]
    assert name in refused([*command.split(), *what, *data, *out], tmp_path, capsys, tally, "files of others")


@pytest.mark.parametrize(
    ("command", "name", "more"),
    [
        ("report", "mine.html", ""),
        ("probe", "mine.json", ""),
        ("export", "mine.onnx", ""),
        ("export --format torch", "mine.pt2", ""),
        ("export --format torch", "mine.pt2", ".md"),
        ("export", "mine.onnx", ".md"),
    ],
)
def test_files_of_the_right_name_are_looked_at(
    command: str,
    name: str,
    more: str,
    run: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    tally: Callable[[str, bool], bool],
) -> None:
    fill(tmp_path, f"{name}{more}")
    what = (
        ["--data", "sklearn:iris", "--weights", str(run / "student.safetensors")] if command == "probe" else [str(run)]
    )
    said = refused([*command.split(), *what, "--out", str(tmp_path / name)], tmp_path, capsys, tally, "files of others")
    assert f"{name}{more}' exists and is not" in said
