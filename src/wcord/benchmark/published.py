"""Published numbers with their sources, by the names of wcord's methods; unconfirmed ones are marked. No torch."""

import csv
import importlib.resources
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import permutations

from wcord import checks

TABLES: dict[str, str] = {"cifar100": "cifar100_published.csv", "imagenet": "imagenet_published.csv"}
"""Values of a suite's `published` → file."""

NAMES: dict[str, str] = {
    "ce": "Student (vanilla)",
    "kd": "KD",
    "lskd": "KD+LogitStd",
    "fitnet": "FitNet",
    "at": "AT",
    "sp": "SP",
    "cc": "CC",
    "vid": "VID",
    "rkd": "RKD",
    "pkt": "PKT",
    "ab": "AB",
    "ft": "FT",
    "fsp": "FSP",
    "nst": "NST",
    "crd": "CRD",
    "wcord": "WCoRD",
    "ofd": "OFD",
    "reviewkd": "ReviewKD",
    "dkd": "DKD",
    "dist": "DIST",
    "ttm": "TTM",
    "wttm": "WTTM",
    "simkd": "SimKD",
    "wkd-l": "WKD-L",
    "wkd-f": "WKD-F",
}
"""Name of a method → its name in the table. Both join sums by +."""

DOUBTS: dict[str, str] = {
    "from memory": "from memory, not confirmed in a second source",
    "by inference": "relabeled by inference: its source has another name for the row",
    "garbled": "read from a garbled print",
    "text conversion of": "read from a text conversion of its source, whose columns may have moved",
    "summary of": "taken from a summary, not from the source itself",
}
"""Phrase in a source's text that marks an unconfirmed number → its note in tables."""


@dataclass(frozen=True)
class Published:
    """A published number.

    Attributes:
        top1: accuracy in percent.
        source: its source.
        doubt: why it is not confirmed; empty if it is.
        others: numbers of other sources: (top1, source).
    """

    top1: float
    source: str
    doubt: str = ""
    others: tuple[tuple[float, str], ...] = ()


Table = Mapping[tuple[str, str, str], Published]
"""(teacher, student, method as the table names it) → number."""


def read_published(name: str) -> Table:
    """Return the published numbers of a table; of several sources, the first confirmed one counts.

    >>> table = read_published("cifar100")
    >>> table["resnet56", "resnet20", "CRD"]
    Published(top1=71.16, source='github HobbitLong/RepDistiller README@b84f547', doubt='', others=())
    >>> table["resnet56", "resnet20", "WCoRD"].doubt
    'from memory, not confirmed in a second source'

    Raises:
        UsageError: on an unknown table.
    """
    checks.require_choice("table of published numbers", name, TABLES)
    text = importlib.resources.files("wcord.benchmark").joinpath(TABLES[name]).read_text(encoding="utf-8")
    cells: dict[tuple[str, str, str], list[tuple[float, str]]] = {}
    for line in csv.DictReader(text.splitlines()):
        place = (line["teacher"], line["student"], line["method"])
        cells.setdefault(place, []).append((float(line["top1"]), line["source"]))
    return {place: _first_confirmed(numbers) for place, numbers in cells.items()}


def published_names(method: str) -> Iterable[str]:
    """Return the possible names of a method in a table.

    >>> list(published_names("kd+wcord"))
    ['KD+WCoRD', 'WCoRD+KD']
    """
    terms = [NAMES.get(name) for name in method.split("+")]
    known = [name for name in terms if name is not None]
    return ("+".join(order) for order in permutations(known)) if len(known) == len(terms) else ()


def find_published(table: Table, teacher: str, student: str, method: str) -> Published | None:
    """Return the published number of a row, or None."""
    places = ((teacher, student, name) for name in published_names(method))
    return next((table[place] for place in places if place in table), None)


def _first_confirmed(numbers: list[tuple[float, str]]) -> Published:
    ranked = sorted(numbers, key=lambda entry: bool(_doubt(entry[1])))
    (top1, source), *others = ranked
    return Published(top1, source, _doubt(source), tuple(others))


def _doubt(source: str) -> str:
    return next((note for phrase, note in DOUBTS.items() if phrase in source), "")
