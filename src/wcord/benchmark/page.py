"""The tables of a suite as one self-contained page, with a figure of every pair."""

import importlib.resources
from statistics import fmean

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup, escape

from wcord.benchmark.results import Line, PairTable, SuiteTable
from wcord.benchmark.wording import SuiteText
from wcord.marks import generator
from wcord.report import canvas
from wcord.terminal import printable

LINE_HEIGHT = 0.3
"""Inches that a row of a figure takes."""


def page(text: SuiteText, table: SuiteTable) -> str:
    """Return the page."""
    begun = [pair for pair in table.pairs if pair.begun]
    template = importlib.resources.files("wcord.benchmark").joinpath("page.html.j2").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(template).render(
        generator=Markup(generator("benchmark")),
        suite=text,
        pairs=[
            (one, _figure(pair, number), any(line.published is not None for line in pair.lines if line.top1))
            for number, (one, pair) in enumerate(zip(text.texts, begun, strict=True))
        ],
        svg=Markup,  # the drawings are ours; everything else is escaped
        code=_code,
    )


def _code(text: str) -> Markup:
    """Return text with what stands between backticks set as code."""
    parts = [escape(part) for part in text.split("`")]
    if len(parts) % 2 == 0:
        return escape(text)
    return Markup("").join(Markup("<code>{}</code>").format(part) if i % 2 else part for i, part in enumerate(parts))


def _figure(pair: PairTable, number: int) -> str:
    """Draw each row's seeds, their mean and what was published; empty where no row has a number."""
    lines = sorted((line for line in pair.lines if line.top1), key=_mean)
    if not lines:
        return ""
    figure, (ax,) = canvas.new_figure(2 * canvas.HALF, 0.9 + LINE_HEIGHT * len(lines))
    for height, line in enumerate(lines):
        seeds = [*line.top1.values()]
        ax.plot(seeds, [height] * len(seeds), "o", color=canvas.RUN_COLOURS[0], alpha=0.5, markersize=5)
        ax.plot([_mean(line)], [height], "|", color=canvas.TEXT, markersize=14, markeredgewidth=2)
        if line.published is not None:
            faint = 0.45 if line.published.doubt else 1.0
            ax.plot([line.published.top1], [height], "D", color=canvas.RUN_COLOURS[1], alpha=faint, markersize=5)
    ax.set_yticks(range(len(lines)), [printable(line.name) for line in lines])
    ax.set_ylim(-0.6, len(lines) - 0.4)
    canvas.label(ax, x="test top-1 after the last epoch, %")
    return canvas.svg(figure, f"pair{number}")


def _mean(line: Line) -> float:
    return fmean(line.top1.values())
