"""The documents: links lead somewhere, Python runs, and the glossary is complete."""

import re
import unicodedata
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCS = sorted((ROOT / "docs").rglob("*.md"))
PAGES = [*(ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "CHANGELOG", "SECURITY", "benchmarks/README"))]
BUILT = ("gallery/",)
"""Folders of docs/ that `make docs` fills."""
BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)
WORDS = {
    *("teacher", "student", "term", "part", "objective", "run", "suite", "row", "view", "pair", "bank", "queue"),
    *("critic", "plan", "anchor", "embedding", "feature map", "method", "recipe", "record", "card", "source", "split"),
}


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as Markdown's table of contents and GitHub form them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    return {slug(heading) for heading in re.findall(r"^#+ +(.+)$", text, re.MULTILINE)}


def slug(heading: str) -> str:
    plain = unicodedata.normalize("NFKD", heading).encode("ascii", "ignore").decode()
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", plain).strip().lower())


def links(page: Path) -> list[str]:
    text = re.sub(r"`[^`\n]*`", "", page.read_text(encoding="utf-8"))
    found = re.findall(r"\[[^]]*\]\(([^)\s]+)[^)]*\)", text) + re.findall(r'<iframe src="([^"]+)"', text)
    return [link for link in found if not link.startswith(("https://", "mailto:"))]


@pytest.mark.parametrize("page", [*PAGES, *DOCS], ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    for link in links(page):
        target, _, anchor = link.partition("#")
        if target.startswith(BUILT):
            continue
        file = (page.parent / target).resolve() if target else page
        assert file.exists(), f"{link}: no such file"
        assert file.is_relative_to(ROOT), f"{link}: outside the project"
        assert page not in DOCS or file.is_relative_to(ROOT / "docs"), f"{link}: not on the site"
        assert not anchor or anchor in anchors(file), f"{link}: no such heading"


def test_a_heading_gives_the_anchor_that_the_site_gives() -> None:
    assert slug("Larger batches, half precision") == "larger-batches-half-precision"
    assert slug("RGB → gray (`lab-l`)") == "rgb-gray-lab-l"


def test_every_page_is_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:")[2]
    for page in DOCS:
        assert f": {page.relative_to(ROOT / 'docs').as_posix()}\n" in navigation


def test_the_glossary_defines_every_word_of_the_vocabulary() -> None:
    text = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    defined = re.findall(r"^\*\*(.+)\*\*\n:   \S", text, re.MULTILINE)
    assert set(defined) >= WORDS
    assert defined == sorted(defined)


def python_blocks() -> list[tuple[str, str]]:
    return [
        (f"{page.stem}-{number}", code)
        for page in [ROOT / "README.md", *DOCS]
        for number, code in enumerate(BLOCK.findall(page.read_text(encoding="utf-8")))
    ]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "code"), python_blocks(), ids=[name for name, _ in python_blocks()])
def test_python_runs_as_it_is(name: str, code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(code, name, "exec"), {})


def test_files_that_are_named_exist() -> None:
    """`how_it_works.md` names source files; documents name scripts, examples and tests."""
    walk = (ROOT / "docs" / "how_it_works.md").read_text(encoding="utf-8")
    for name in re.findall(r"`([a-z_/]+(?:\.py|/))`", walk):
        assert (ROOT / "src" / "wcord" / name).exists() or name == "src/wcord/", name
    for page in [*PAGES, *DOCS]:
        text = page.read_text(encoding="utf-8")
        for name in re.findall(r"`((?:examples|tools|tests|benchmarks|docs|src)/[\w./]+)`", text):
            assert (ROOT / name).exists() or "NAME" in name, f"{page.name}: {name}"


def test_the_version_is_the_same_everywhere() -> None:
    import wcord

    assert f"\nversion: {wcord.__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = re.findall(r"^## \[(.+?)\]", changelog, re.MULTILINE)
    assert newest[0] in ("Unreleased", wcord.__version__)
    assert wcord.__version__ in newest or newest == ["Unreleased"]  # before the first release
