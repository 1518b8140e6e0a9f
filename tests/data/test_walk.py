"""Which files of a folder count, and what is told of the others."""

import os
from pathlib import Path

import pytest
from PIL import Image

from wcord.checks import UsageError
from wcord.data.walk import Skipped, files_below, files_in, folders_in, is_hidden, pictures


def put(path: Path, kind: str = "PNG") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (2, 2)).save(path, kind)
    return path


def names(root: Path, passed: Skipped | None = None) -> list[str]:
    found = files_below(root, pictures(), passed or Skipped())
    return [path.relative_to(root).as_posix() for path in found]


@pytest.mark.parametrize(
    "part",
    [
        ".ipynb_checkpoints",
        ".thumbnails",
        "@eaDir",
        "__MACOSX",
        ".Trash-1000",
        "lost+found",
        "$RECYCLE.BIN",
        "#recycle",
    ],
)
def test_hidden_folders_are_left_out_at_any_depth_and_told(part: str, tmp_path: Path) -> None:
    root = tmp_path / ".datasets" / "@me"  # above the folder that is given nothing is hidden
    put(root / "a" / "1.png")
    put(root / part / "2.png")
    put(root / "a" / part / "deep" / "3.png")
    passed = Skipped()
    assert names(root, passed) == ["a/1.png"]
    assert passed.note(pictures()) == (f"skipped: 1 hidden folder ({part})",)


@pytest.mark.parametrize("name", ["._1.png", ".1.png", "Thumbs.db", "desktop.ini", "1.png~", "@1.png", ".DS_Store"])
def test_hidden_files_are_left_out(name: str, tmp_path: Path) -> None:
    put(tmp_path / "1.png")
    put(tmp_path / name)
    assert is_hidden(name)
    assert names(tmp_path) == ["1.png"]


def test_linked_folders_are_entered_once_and_circles_are_not(tmp_path: Path) -> None:
    put(tmp_path / "elsewhere" / "1.png")
    root = tmp_path / "set" / "a"
    put(root / "own.png")
    put(root / "real" / "2.png")
    (root / "session").symlink_to(tmp_path / "elsewhere")
    (root / "again").symlink_to(tmp_path / "elsewhere")
    (root / "another").symlink_to(root / "real")
    (root / "self").symlink_to(root)
    (root / "up").symlink_to(tmp_path / "set")
    (root / "real" / "round").symlink_to(root)
    (root / "file.png").symlink_to(root / "own.png")
    assert names(root) == ["again/1.png", "file.png", "own.png", "real/2.png"]
    (tmp_path / "linked").symlink_to(root)
    assert names(tmp_path / "linked") == ["again/1.png", "file.png", "own.png", "real/2.png"]


def test_links_that_lead_nowhere_and_pipes_are_no_pictures(tmp_path: Path) -> None:
    put(tmp_path / "1.png")
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "folder").symlink_to(tmp_path / "nowhere")
    (tmp_path / "round.png").symlink_to(tmp_path / "round.png")
    os.mkfifo(tmp_path / "pipe.png")
    passed = Skipped()
    assert names(tmp_path, passed) == ["1.png"]
    assert passed.note(pictures()) == ("skipped: 3 broken links",)


def test_one_note_counts_what_is_passed_over(tmp_path: Path) -> None:
    put(tmp_path / "1.png")
    for count, ending in ((3, ".txt"), (2, ".csv"), (1, ".HEIC"), (1, "")):
        for i in range(count):
            (tmp_path / f"x{i}{ending}").write_bytes(b"words")
    put(tmp_path / ".cache" / "2.png")
    put(tmp_path / ".hidden.png")
    passed = Skipped()
    assert names(tmp_path, passed) == ["1.png"]
    assert passed.note(pictures()) == (
        "skipped: 7 files (.txt 3, .csv 2, no ending 1, .heic 1), 1 hidden image, 1 hidden folder (.cache); "
        "there is no decoder for .heic",
    )
    assert Skipped().note(pictures()) == ()


@pytest.mark.parametrize(("name", "kind"), [("a.JFIF", "JPEG"), ("IMG", "JPEG"), ("b.avif", "AVIF"), ("c.x1", "GIF")])
def test_pictures_of_other_endings_or_none_count(name: str, kind: str, tmp_path: Path) -> None:
    put(tmp_path / name, kind)
    assert names(tmp_path) == [name]


def test_a_folder_is_listed_by_itself(tmp_path: Path) -> None:
    put(tmp_path / "b" / "1.png")
    put(tmp_path / ".git" / "1.png")
    put(tmp_path / "2.png")
    (tmp_path / "a").symlink_to(tmp_path / "b")
    assert [path.name for path in folders_in(tmp_path)] == ["a", "b"]
    assert files_in(tmp_path, pictures(), Skipped()) == [tmp_path / "2.png"]


def test_a_folder_that_cannot_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", refuse)  # root may read everything
    for look in (lambda: files_below(tmp_path, pictures(), Skipped()), lambda: folders_in(tmp_path)):
        with pytest.raises(UsageError, match=r"folder .* cannot be read \(Permission denied\): check its permissions"):
            look()
