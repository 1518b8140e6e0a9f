"""The style of every figure, and its conversion to SVG."""

import base64
import io
import re
from collections.abc import Sequence
from typing import Any, cast

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from wcord.terminal import printable

RUN_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Okabe and Ito's palette, distinguishable with every common color blindness; black and gray are the teacher's."""
RUN_MARKERS = ("o", "s", "^", "D", "v", "P")
RUN_DASHES: tuple[str | tuple[int, tuple[float, ...]], ...] = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)))
TEACHER_COLOR = "#444444"
GAIN, LOSS = "#0072B2", "#D55E00"
TEXT, MUTED, GRID = "#1a1a1a", "#555555", "#dddddd"
SEQUENTIAL, DIVERGING = "cividis", "PuOr_r"

HALF, THIRD = 4.6, 3.05
"""Widths in inches (96 pixels each): two or three in a row fill a page 1000 pixels wide."""
POINTS = 11.5
"""Font size; a phone 390 pixels wide scales the wider figures to four fifths, 9 points."""

_STYLE: Any = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": POINTS,
    "svg.fonttype": "path",
    "text.parse_math": False,
    "svg.hashsalt": "wcord",
}


def color(position: int) -> str:
    """Return the color of the run at a position; it repeats after six, with a different dash."""
    return RUN_COLORS[position % len(RUN_COLORS)]


def dashes(position: int) -> str | tuple[int, tuple[float, ...]]:
    """Return the line style of the run at a position."""
    return RUN_DASHES[(position // len(RUN_COLORS)) % len(RUN_DASHES)]


def marker(position: int) -> str:
    """Return the marker of the run at a position."""
    return RUN_MARKERS[position % len(RUN_MARKERS)]


def new_figure(width: float, height: float, columns: int = 1) -> tuple[Figure, list[Axes]]:
    """Return a figure of a size in inches and its axes in a row, without pyplot's global state."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
        axes = [figure.add_subplot(1, columns, number + 1) for number in range(columns)]
        for ax in axes:
            _set_style(ax)
    return figure, axes


def _set_style(ax: Axes) -> None:
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(MUTED)
    ax.tick_params(colors=MUTED, labelcolor=TEXT, labelsize=POINTS)
    ax.grid(color=GRID, linewidth=0.8)
    ax.set_axisbelow(True)


def frame(ax: Axes) -> None:
    """Remove grid, spines and ticks."""
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)
    ax.set_xticks([])
    ax.set_yticks([])


def label(ax: Axes, *, x: str = "", y: str = "", title: str = "") -> None:
    """Name the axes."""
    ax.set_xlabel(printable(x), fontsize=POINTS, color=TEXT)
    ax.set_ylabel(printable(y), fontsize=POINTS, color=TEXT)
    if title:
        ax.set_title(printable(title), fontsize=POINTS, color=TEXT, loc="left")


def class_ticks(names: Sequence[str], longest: int = 14) -> list[str]:
    """Return class names short enough for an axis.

    >>> class_ticks(["cat", "a very long class name"])
    ['cat', 'a very long c…']
    """
    shown = map(printable, names)
    return [name if len(name) <= longest else f"{name[: longest - 1]}…" for name in shown]


def legend_name(name: str) -> str:
    """Return a name that a legend shows even if it starts with an underscore.

    >>> legend_name("_first"), legend_name("second")
    (' _first', 'second')
    """
    return f" {printable(name)}" if name.startswith("_") else printable(name)


def svg(figure: Figure, key: str) -> str:
    """Return the figure as an inline <svg>; heavy artists should be rasterized.

    Args:
        figure: the figure.
        key: unique on the page; prefixes every identifier in the drawing, so that figures do not share clip paths and
            glyphs.
    """
    out = io.BytesIO()
    for text in figure.findobj(Text):  # a $ in a name does not start a formula
        cast("Text", text).set_parse_math(False)
    with mpl.rc_context(_STYLE):
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None}, dpi=160)
    text = out.getvalue().decode()
    text = text[text.index("<svg") :]
    text = re.sub(r'\bid="', f'id="{key}-', text)
    text = re.sub(r'href="#', f'href="#{key}-', text)
    text = re.sub(r"url\(#", f"url(#{key}-", text)
    return re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL).strip()


def data_uri(image: bytes, kind: str = "png") -> str:
    """Return an image file as a URI that needs no other file."""
    return f"data:image/{kind};base64,{base64.b64encode(image).decode()}"
