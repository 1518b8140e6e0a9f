"""What CONTRIBUTING.md shows is what stands in the code."""

from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_method_that_is_walked_through_is_shown_as_it_is() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    shown = text.partition("```python\n")[2].partition("```")[0]
    source = (ROOT / "src" / "wcord" / "methods" / "sp.py").read_text(encoding="utf-8")
    assert shown.startswith("class SPTerm")
    assert shown in source
