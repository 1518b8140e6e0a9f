"""The measures of the source code are those that one counts by hand."""

from collections.abc import Callable
from types import ModuleType

SOURCE = '''"""A module."""

from dataclasses import dataclass

import wcord.checks  # not a layer below or above: import statements by module alone are not followed
from wcord.losses.kd import kd_loss

# A comment.


@dataclass(frozen=True)
class Row:
    """A row."""

    a: int
    """Documented."""

    def sum(self, b: int, *, c: int) -> int:
        """Return a sum
        of three.
        """
        return self.a + b + c
'''
PROJECT = """
[[tool.importlinter.contracts]]
type = "layers"
layers = ["wcord.losses", "wcord.transport | wcord.contrast", "wcord.checks"]
"""


def test_measures_by_hand(script: Callable[[str], ModuleType]) -> None:
    files = {"pyproject.toml": PROJECT, "src/wcord/transport/a.py": SOURCE, "src/wcord/losses/b.py": "class Row: ...\n"}
    measures = dict(script("house").measures(files))
    assert measures == {
        "files": "2",
        "lines of source": "23",
        "lines of code": "9",
        "dataclasses": "1",
        "classes of one name": "1 Row",
        "longest parameter lists": "2 (sum)",
        "lines of a function with docstring: p95, max": "5, 5",
        "lines of a function without docstring: p95, max": "2, 2",
        "files per folder": "wcord/transport 1, wcord/losses 1",
        "imports of a higher layer": "1 wcord.transport → wcord.losses",
    }
