"""Figures that need only records: curves over epochs, and accuracy against size."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from wcord.report import canvas
from wcord.report.record import Record
from wcord.report.tables import ResultRow


@dataclass(frozen=True)
class Series:
    """The runs of one configuration, which share a name, a color and a line.

    Attributes:
        name: what the legend says.
        position: which color, dash and marker.
        records: one per seed.
    """

    name: str
    position: int
    records: tuple[Record, ...]


def accuracy_curves(series: Sequence[Series], teachers: Sequence[ResultRow]) -> str:
    """Draw test top-1 over epochs, training top-1 as thin lines, teachers as horizontal ones; empty without tests.

    The accuracy of a teacher that trains is a thin line with a star at its end.
    """
    figure, (ax,) = canvas.new_figure(canvas.HALF, 3.7)
    drawn = [_curve(ax, one, lambda epoch: epoch.get("test_top1")) for one in series]
    if not any(drawn):
        return ""
    for one in series:
        _curve(ax, one, lambda epoch: epoch.get("train_top1"), main=False)
    for one in series:
        _curve(ax, one, lambda epoch: epoch.get("teacher_test_top1"), main=False, marked=True)
    for row in teachers:
        if row.top1 is not None:
            ax.axhline(
                row.top1,
                color=canvas.TEACHER_COLOR,
                linestyle=(0, (4, 3)),
                label=canvas.legend_name(f"{row.run} {row.student}"),
            )
    _focus_on_late_epochs(ax)
    canvas.label(ax, x="epoch", y="test top-1, %")
    _legend(ax)
    return canvas.svg(figure, "accuracy")


def loss_curves(series: Sequence[Series]) -> str:
    """Draw the total training loss over epochs; empty without one."""
    figure, (ax,) = canvas.new_figure(canvas.HALF, 3.7)
    drawn = [_curve(ax, one, lambda epoch: epoch.get("loss")) for one in series]
    if not any(drawn):
        return ""
    _logarithmic_if_wide(ax)
    canvas.label(ax, x="epoch", y="training loss")
    _legend(ax)
    return canvas.svg(figure, "loss")


def part_curves(series: Sequence[Series]) -> dict[str, str]:
    """Draw a figure for each part of the loss over epochs."""
    names = list(
        dict.fromkeys(
            name for one in series for r in one.records for epoch in r.epochs for name in epoch.get("parts") or {}
        )
    )
    return {name: _part(series, name, number) for number, name in enumerate(names)}


def _part(series: Sequence[Series], name: str, number: int) -> str:
    figure, (ax,) = canvas.new_figure(canvas.THIRD, 2.5)
    for one in series:
        _curve(ax, one, lambda epoch: (epoch.get("parts") or {}).get(name))
    _logarithmic_if_wide(ax)
    canvas.label(ax, x="epoch", title=name)
    return canvas.svg(figure, f"part{number}")


def accuracy_against_size(rows: Sequence[ResultRow]) -> str:
    """Draw last-epoch top-1 against the number of parameters; empty for fewer than two points.

    Args:
        rows: the teachers' rows first, then one row per series in the series' order.
    """
    placed = [row for row in rows if row.parameters and row.top1 is not None]
    if len(placed) < 2:
        return ""
    figure, (ax,) = canvas.new_figure(canvas.HALF, 3.7)
    students = [row for row in rows if not row.is_teacher]
    for row in placed:
        _place(ax, row, 0 if row.is_teacher else students.index(row))
    ax.set_xscale("log")
    ax.xaxis.set_major_formatter(FuncFormatter(_millions))
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.margins(x=0.12, y=0.18)
    canvas.label(ax, x="parameters", y="test top-1, %")
    _legend(ax, columns=2)
    return canvas.svg(figure, "size")


def _millions(value: float, _: object) -> str:
    return f"{value / 1e6:g} M" if value >= 1e6 else f"{value / 1e3:g} k"


def _place(ax: Axes, row: ResultRow, position: int) -> None:
    look: dict[str, Any] = {"color": canvas.color(position), "marker": canvas.marker(position), "markersize": 9}
    if row.is_teacher:
        look = {"color": canvas.TEACHER_COLOR, "marker": "*", "markersize": 15}
    name = f"{row.run} {row.student}" if row.is_teacher else f"{row.student} {row.method}"
    error = float(np.std(row.values("top1_last"), ddof=1)) if len(row.values("top1_last")) > 1 else None
    ax.errorbar(
        [row.parameters or 0],
        [row.top1 or 0],
        yerr=error,
        linestyle="none",
        capsize=4,
        label=canvas.legend_name(name),
        **look,
    )


def _values(one: Series, read: Callable[[dict[str, Any]], Any]) -> np.ndarray:
    """Return runs × epochs, NaN where a run has no value."""
    length = max((len(record.epochs) for record in one.records), default=0)
    table = np.full((len(one.records), length), np.nan)
    for row, record in enumerate(one.records):
        for column, epoch in enumerate(record.epochs):
            value = read(epoch)
            table[row, column] = np.nan if value is None else value
    return table


def _curve(
    ax: Axes, one: Series, read: Callable[[dict[str, Any]], Any], *, main: bool = True, marked: bool = False
) -> bool:
    """Draw the mean over seeds and, for several, the range between them; return whether there was any.

    A secondary curve is a thin line that the legend omits; if it is marked, it ends in a star.
    """
    table = _values(one, read)
    table = table[:, ~np.isnan(table).all(axis=0)] if table.size else table
    measured = _epochs(one, read)
    if table.size == 0:
        return False
    look = {"color": canvas.color(one.position), "linestyle": canvas.dashes(one.position)}
    mean = np.nanmean(table, axis=0)
    if not main:
        ax.plot(measured, mean, linewidth=0.8, alpha=0.7, **look)
        if marked:
            ax.plot(measured[-1:], mean[-1:], marker="*", color=look["color"], markersize=10)
        return True
    ax.plot(measured, mean, linewidth=2, label=canvas.legend_name(one.name), **look)
    ax.plot(measured[-1:], mean[-1:], marker=canvas.marker(one.position), color=look["color"], markersize=6)
    if len(table) > 1:
        low, high = np.nanmin(table, axis=0), np.nanmax(table, axis=0)
        ax.fill_between(measured, low, high, color=look["color"], alpha=0.18, linewidth=0)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    return True


def _epochs(one: Series, read: Callable[[dict[str, Any]], Any]) -> list[int]:
    """Return the epoch numbers, from 1, in which any seed measured the value."""
    measured_epochs = {
        epoch.get("epoch", number)
        for record in one.records
        for number, epoch in enumerate(record.epochs, 1)
        if read(epoch) is not None
    }
    return sorted(measured_epochs)


def _logarithmic_if_wide(ax: Axes) -> None:
    values = np.concatenate([np.asarray(line.get_ydata(), float) for line in ax.lines] or [np.zeros(0)])
    if values.size and values.min() > 0 and values.max() > 30 * values.min():
        ax.set_yscale("log")


def _focus_on_late_epochs(ax: Axes) -> None:
    """Cut off the first epochs, near chance, so that the later ones are readable."""
    curves = [y for line in ax.lines if len(y := np.asarray(line.get_ydata(), float))]
    late = [y[len(y) // 2 :].min() for y in curves if len(y) > 3]
    low, top = ax.get_ylim()[0], max(y.max() for y in curves)
    if late and min(late) - low > 0.3 * (top - low):
        room = max(top - min(late), 1.0)
        ax.set_ylim(min(late) - 0.3 * room, min(top + 0.15 * room, 100.5))
    else:
        ax.set_ylim(low, min(ax.get_ylim()[1], 101))


def _legend(ax: Axes, columns: int = 3) -> None:
    """Put the legend above the frame, in as many columns as fit."""
    longest = max((len(text) for text in ax.get_legend_handles_labels()[1]), default=1)
    ax.legend(
        fontsize=canvas.POINTS - 0.5,
        frameon=False,
        loc="lower left",
        bbox_to_anchor=(-0.02, 1.0),
        ncols=max(1, min(columns, 40 // longest)),
        columnspacing=1.2,
        handlelength=1.5,
    )
