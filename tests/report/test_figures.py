import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from wcord.report import canvas, figures
from wcord.report.figures import Series
from wcord.report.record import Record
from wcord.report.tables import ResultRow


def record(epochs, seed=0):
    return Record(
        name=f"kd_s{seed}",
        kind="distill",
        method="kd",
        student="resnet8",
        data="digits",
        seed=seed,
        config={},
        num_classes=2,
        classes=["a", "b"],
        epochs=epochs,
        metrics={},
        cost={},
        environment={},
        wall_seconds=1.0,
    )


def epochs(*accuracies, parts=("ce", "kd")):
    return [
        {"epoch": n, "loss": 9.0 / n, "parts": dict.fromkeys(parts, 1.0 / n)}
        | ({} if accuracy is None else {"test_top1": accuracy})
        for n, accuracy in enumerate(accuracies, 1)
    ]


def series(*runs, position=0):
    return Series("kd", position, tuple(record(run, seed) for seed, run in enumerate(runs)))


def well_formed(svg):
    return ElementTree.fromstring(svg).tag.endswith("svg")


def curve(one, monkeypatch):
    """Return the lines that the accuracy figure holds when it is turned into SVG."""
    seen = []
    monkeypatch.setattr(canvas, "svg", lambda figure, key: seen.append(figure) or "<svg/>")
    figures.accuracy_curves([one], [])
    return [(list(line.get_xdata()), list(line.get_ydata())) for line in seen[0].axes[0].lines]


def test_several_seeds_are_drawn_as_their_mean(monkeypatch):
    lines = curve(series(epochs(50.0, 60.0), epochs(70.0, 62.0)), monkeypatch)
    assert lines[0] == ([1, 2], [60.0, 61.0])
    assert lines[1] == ([2], [61.0])


def test_epochs_that_were_not_evaluated_are_skipped(monkeypatch):
    assert curve(series(epochs(None, 50.0, None, 60.0)), monkeypatch)[0] == ([2, 4], [50.0, 60.0])


def test_the_numbers_of_the_epochs_are_those_of_the_log(monkeypatch):
    later = [dict(epoch, epoch=epoch["epoch"] + 10) for epoch in epochs(50.0, 60.0)]
    assert curve(series(later), monkeypatch)[0][0] == [11, 12]


def test_curves_are_drawings_with_the_color_of_the_run():
    for svg in (
        figures.accuracy_curves(
            [series(epochs(50.0, 60.0), position=2)],
            [ResultRow("t", "–", "big", {"parameters": 9}, {"top1_last": (70.0,)})],
        ),
        figures.loss_curves([series(epochs(50.0, 60.0), position=2)]),
    ):
        assert well_formed(svg)
        assert canvas.color(2).lower() in svg


@pytest.mark.parametrize("run", [[], epochs(None, None)])
def test_nothing_measured_is_nothing_drawn(run):
    assert figures.accuracy_curves([series(run)], []) == ""


def test_a_run_without_epochs_has_no_loss():
    assert figures.loss_curves([series([])]) == ""
    assert figures.part_curves([series([])]) == {}


def test_each_part_of_any_run_has_its_figure():
    drawn = figures.part_curves([series(epochs(1.0, 2.0, parts=["ce"])), series(epochs(1.0, 2.0), position=1)])
    assert list(drawn) == ["ce", "kd"]
    assert all(map(well_formed, drawn.values()))
    assert len({re.search(r'id="(\w+)-', svg)[1] for svg in drawn.values()}) == 2


def test_a_loss_that_was_not_finite_leaves_a_gap():
    run = epochs(50.0, 60.0, 70.0)
    run[1]["loss"] = None
    assert well_formed(figures.loss_curves([series(run)]))


def test_size_needs_two_networks():
    one = ResultRow("kd", "kd", "resnet8", {"parameters": 80_000}, {"top1_last": (70.0, 72.0)})
    teacher = ResultRow("teacher", "–", "resnet56", {"parameters": 860_000}, {"top1_last": (75.0,)}, is_teacher=True)
    unknown = ResultRow("x", "kd", "resnet8", {}, {"top1_last": (70.0,)})
    assert figures.accuracy_against_size([one]) == ""
    assert figures.accuracy_against_size([one, unknown]) == ""
    assert well_formed(figures.accuracy_against_size([teacher, one]))


def test_the_first_epochs_do_not_squeeze_the_last():
    _, (ax,) = canvas.new_figure(4, 3)
    ax.plot(range(20), np.r_[np.linspace(1, 85, 10), np.linspace(90, 95, 10)])
    figures._focus_on_late_epochs(ax)
    low, high = ax.get_ylim()
    assert 80 < low < 90
    assert 95 < high < 97


def test_a_teacher_that_trains_has_a_curve_with_a_star(monkeypatch):
    run = [entry | {"teacher_test_top1": 80.0 + number} for number, entry in enumerate(epochs(50.0, 60.0))]
    lines = curve(series(run), monkeypatch)
    assert lines[-2:] == [([1, 2], [80.0, 81.0]), ([2], [81.0])]
