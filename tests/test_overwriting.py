"""Only what wcord made is removed or replaced, by one module; links are not followed, and nothing needed is lost."""

import ast
import os
from collections.abc import Callable
from pathlib import Path

import pytest

import wcord
from wcord.checks import UsageError
from wcord.overwriting import (
    Kind,
    Output,
    by_name,
    clear,
    is_free,
    mark,
    remove,
    remove_left_over,
    require_removable,
    write_output,
)

CAKE = Kind("cake", {"recipe.txt": lambda path: path.read_text() == "eggs", "layers/*.txt": by_name}, stays=(".lock",))
BOX = Kind("box", {"cake": CAKE, "card-*.txt": by_name})
PAGE = Output("a page", (".html",), lambda path: path.read_text() == "page")

REMOVERS = {
    "rmtree",
    "unlink",
    "rmdir",
    "removedirs",
    "truncate",
    "write_text",
    "write_bytes",
    "symlink_to",
    "hardlink_to",
}
OF_MODULES = {"remove", "replace", "rename", "renames", "move", "copy", "copyfile", "copytree"}
"""Of `os` and `shutil`; text and tables have methods of these names."""
ALLOWED = {
    "files.py": "writes whole files, and removes its own parts",
    "overwriting.py": "decides",
    "claim.py": "signs its own lock",
}


def bake(folder: Path) -> Path:
    (folder / "layers").mkdir(parents=True)
    mark(folder, CAKE)
    for name in ("recipe.txt", "layers/1.txt", "layers/2.txt", ".lock", ".recipe.txt.7.part", "layers/.3.txt.7.part"):
        (folder / name).write_text("eggs")
    return folder


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_what_was_made_is_removed_and_the_mark_stays(tmp_path: Path) -> None:
    clear(bake(tmp_path), CAKE)
    assert names(tmp_path) == [".lock", ".wcord-cake"]
    assert is_free(tmp_path, CAKE)
    remove(bake(tmp_path / "other"), CAKE)
    assert not (tmp_path / "other").exists()
    remove(tmp_path / "other", CAKE)


def test_folders_of_other_kinds_are_looked_through(tmp_path: Path) -> None:
    mark(tmp_path, BOX)
    bake(tmp_path / "cake")
    (tmp_path / "card-1.txt").touch()
    (tmp_path / "cake" / "spoon").touch()
    with pytest.raises(UsageError, match=r"other things than a box \(cake/spoon\)"):
        clear(tmp_path, BOX)
    assert (tmp_path / "card-1.txt").exists()
    (tmp_path / "cake" / "spoon").unlink()
    (tmp_path / "cake" / ".lock").unlink()
    clear(tmp_path, BOX)
    assert names(tmp_path) == [".wcord-box"]


def a_file(folder: Path) -> None:
    (folder / "notes.txt").touch()


def a_hidden_file(folder: Path) -> None:
    (folder / ".gitignore").touch()


def an_empty_folder(folder: Path) -> None:
    (folder / "mine").mkdir()


def a_file_among_the_layers(folder: Path) -> None:
    (folder / "layers" / "notes.md").touch()


def a_folder_in_the_place_of_a_file(folder: Path) -> None:
    (folder / "recipe.txt").unlink()
    (folder / "recipe.txt").mkdir()


def a_file_in_the_place_of_a_folder(folder: Path) -> None:
    for path in (folder / "layers").iterdir():
        path.unlink()
    (folder / "layers").rmdir()
    (folder / "layers").touch()


def a_file_of_another_program(folder: Path) -> None:
    (folder / "recipe.txt").write_text("ham")


def a_link_in_the_place_of_a_file(folder: Path) -> None:
    (folder / "layers" / "9.txt").symlink_to(folder / "recipe.txt")


def a_link_in_the_place_of_a_folder(folder: Path) -> None:
    (folder / "layers").rename(folder.with_name("elsewhere"))
    (folder / "layers").symlink_to(folder.with_name("elsewhere"))


def a_link_that_leads_nowhere(folder: Path) -> None:
    (folder / "layers" / "8.txt").symlink_to("none")


def a_pipe(folder: Path) -> None:
    os.mkfifo(folder / "layers" / "9.txt")


def a_part_of_another_program(folder: Path) -> None:
    (folder / ".film.mkv.7.part").touch()


def no_mark(folder: Path) -> None:
    (folder / CAKE.mark).unlink()


def a_mark_with_other_words(folder: Path) -> None:
    (folder / CAKE.mark).write_text("wcord box\n")


def a_link_to_a_mark(folder: Path) -> None:
    (folder / CAKE.mark).rename(folder.with_name("mark"))
    (folder / CAKE.mark).symlink_to(folder.with_name("mark"))


@pytest.mark.parametrize(
    "change",
    [
        a_file,
        a_hidden_file,
        an_empty_folder,
        a_file_among_the_layers,
        a_folder_in_the_place_of_a_file,
        a_file_in_the_place_of_a_folder,
        a_file_of_another_program,
        a_link_in_the_place_of_a_file,
        a_link_in_the_place_of_a_folder,
        a_link_that_leads_nowhere,
        a_pipe,
        a_part_of_another_program,
        no_mark,
        a_mark_with_other_words,
        a_link_to_a_mark,
    ],
)
def test_anything_else_is_named_and_nothing_is_touched(tmp_path: Path, change: Callable[[Path], None]) -> None:
    folder = bake(tmp_path / "cake")
    change(folder)
    before = names(tmp_path)
    for act in (clear, remove):
        with pytest.raises(UsageError, match=r"holds things other than a cake \(.+\)"):
            act(folder, CAKE)
    assert names(tmp_path) == before


def test_a_link_to_a_folder_is_not_followed(tmp_path: Path) -> None:
    bake(tmp_path / "cake")
    (tmp_path / "link").symlink_to("cake")
    for act in (clear, remove):
        with pytest.raises(UsageError, match="is a link"):
            act(tmp_path / "link", CAKE)
    assert (tmp_path / "cake" / "recipe.txt").exists()


def test_what_is_needed_is_found_behind_links_and_dots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = bake(tmp_path / "cake")
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "home").symlink_to("..")
    (tmp_path / "shop" / "eggs.txt").symlink_to("../cake/recipe.txt")
    (tmp_path / "shop" / "eggs again.txt").symlink_to("eggs.txt")
    (tmp_path / "shop" / "salt.txt").touch()
    monkeypatch.chdir(tmp_path / "shop")
    inside = (
        "../cake/recipe.txt",
        "home/cake/layers/1.txt",
        "eggs.txt",
        "eggs again.txt",
        "../shop/../cake",
        "../cake/layers",
    )
    for path in (*map(Path, inside), folder / "recipe.txt", tmp_path / "cake" / "layers" / ".." / "recipe.txt"):
        with pytest.raises(UsageError, match=r"holds --eggs '.+', which is needed"):
            require_removable(folder, CAKE, needed=[("--eggs", path)])
    for path in (Path("salt.txt"), Path("../cake/../shop/salt.txt"), tmp_path, Path("none")):
        require_removable(folder, CAKE, needed=[("--eggs", path)])


def test_a_link_in_the_folder_to_what_is_needed_is_needed_too(tmp_path: Path) -> None:
    folder = bake(tmp_path / "cake")
    (tmp_path / "eggs.txt").touch()
    (folder / "layers" / "eggs.txt").symlink_to(tmp_path / "eggs.txt")
    with pytest.raises(UsageError, match="which is needed"):
        require_removable(folder, CAKE, needed=[("--eggs", folder / "layers" / "eggs.txt")])


@pytest.mark.parametrize("files", range(8))
def test_a_kill_while_a_folder_is_cleared_leaves_one_that_can_be_cleared(
    tmp_path: Path, files: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, unlink, left = bake(tmp_path / "cake"), Path.unlink, [files]

    def killed(path: Path, missing_ok: bool = False) -> None:
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        unlink(path, missing_ok)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", killed)
        try:
            remove(folder, CAKE)
        except KeyboardInterrupt:
            assert files < 7
    remove(folder, CAKE)
    assert not folder.exists()


def test_what_killed_writes_left_is_removed_below_too(tmp_path: Path) -> None:
    bake(tmp_path)
    (tmp_path / ".film.mkv.7.part").touch()
    remove_left_over(tmp_path, CAKE)
    assert [name for name in names(tmp_path) if name.endswith(".part")] == [".film.mkv.7.part"]


def test_a_file_is_replaced_only_where_the_same_command_wrote_it(tmp_path: Path) -> None:
    page = tmp_path / "a.html"
    for _ in range(2):
        write_output(page, b"page", PAGE)
    (tmp_path / "empty.html").touch()
    write_output(tmp_path / "empty.html", b"page", PAGE)
    (tmp_path / "mine.html").write_text("mine")
    (tmp_path / "link.html").symlink_to("a.html")
    (tmp_path / "folder.html").mkdir()
    os.mkfifo(tmp_path / "pipe.html")
    for name, why in {
        "mine.html": "exists and is not a page",
        "link.html": "is a link",
        "folder.html": "is a folder",
        "pipe.html": "no regular file",
        "a.txt": r"must end in \.html",
        "html": r"must end in \.html",
    }.items():
        with pytest.raises(UsageError, match=why):
            write_output(tmp_path / name, b"new", PAGE)
    assert (page.read_text(), (tmp_path / "mine.html").read_text()) == ("page", "mine")


def calls(code: str) -> set[str]:
    """Return the calls in a module that remove or replace files, with their lines."""
    found: set[str] = set()
    for call in (node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call)):
        owner, _, name = ast.unparse(call.func).rpartition(".")
        given = [*call.args, *(word.value for word in call.keywords)]
        texts = [str(one.value) for one in given if isinstance(one, ast.Constant)]
        writes = name == "open" and any(len(text) < 4 and set(text) & set("wx+") for text in texts)
        if writes or name in REMOVERS or (name in OF_MODULES and owner in ("os", "shutil")):
            found.add(f"{owner}.{name}, line {call.lineno}")
    return found


def test_no_other_module_removes_or_replaces_files() -> None:
    package = Path(wcord.__file__).parent
    found = {path.relative_to(package).as_posix(): calls(path.read_text("utf-8")) for path in package.rglob("*.py")}
    assert {name for name, those in found.items() if those} == set(ALLOWED)


@pytest.mark.parametrize(
    "line",
    [
        "shutil.rmtree(x)",
        "p.unlink()",
        "os.replace(a, b)",
        "open(p, 'w')",
        "p.open(mode='xb')",
        "(a / b).write_text('')",
    ],
)
def test_such_a_call_would_be_seen(line: str) -> None:
    assert calls(line)
    assert not calls("text.replace('a', 'b'); items.remove(3); path.open('rb'); image.copy()")
