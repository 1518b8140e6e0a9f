"""The page holds the tables and a figure, and asks for no other file."""

import re
from collections.abc import Callable

from wcord.benchmark.entries import Entry
from wcord.benchmark.page import page
from wcord.benchmark.results import tabulate
from wcord.benchmark.rows import Row
from wcord.benchmark.suite import Suite
from wcord.benchmark.suite_file import read_suite
from wcord.benchmark.wording import put_in_words


def test_tables_and_figures_in_one_file(entry: Callable[..., Entry]) -> None:
    suite = read_suite("crd13")
    found = [entry(suite, label, 0, 71.0, pair=pair) for label in ("crd", "wcord") for pair in suite.pairs[2:4]]
    table = tabulate(suite, found)
    html = page(put_in_words(table), table)
    assert html.count("<svg") == html.count("<table>") == 2
    assert "resnet110 → resnet20" in html
    assert "71.56 †[" in html
    assert "<code>crd_uniform</code> from all rows" in html
    assert "`" not in html
    assert "Diamonds: published" in html
    assert not re.search(r'(src|href)="(?!#)', html)
    assert len(set(re.findall(r'id="(pair\d)-', html))) == 2


def test_what_users_wrote_is_escaped(tiny: Suite) -> None:
    table = tabulate(tiny, [Entry(Row(tiny, tiny.pairs[0], "kd", 0), "failed", "<b>NaN</b>")])
    html = page(put_in_words(table), table)
    assert "&lt;b&gt;NaN&lt;/b&gt;" in html
    assert "<svg" not in html
    assert "Diamonds" not in html


def test_a_suite_without_runs_has_a_page(tiny: Suite) -> None:
    table = tabulate(tiny, [])
    assert "No run is finished yet." in page(put_in_words(table), table)
