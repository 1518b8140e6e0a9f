"""Figures that need a run's analysis: classes, confusions, correlations, embeddings, transport plan, thumbnails."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from PIL import Image
from sklearn.manifold import TSNE

from wcord.evaluation.agreement import class_correlation
from wcord.evaluation.confusions import Confusions
from wcord.report import canvas
from wcord.report.analysis import Analysis

FEW_CLASSES = 20
"""Most classes that are all named; of more, only the ends of the order are."""
SHOWN_ENDS = 10
PAIRS = 12
MATRIX_CLASSES = 1000
"""Most classes of a confusion matrix; a larger one is unreadable."""
HIGHLIGHTED = 8


def class_accuracy(predicted: NDArray[Any], targets: NDArray[Any], num_classes: int) -> NDArray[np.float64]:
    """Return the accuracy within each class in percent, NaN for a class without samples.

    >>> class_accuracy(np.array([0, 1, 1]), np.array([0, 0, 1]), 3)
    array([ 50., 100.,  nan])
    """
    total = np.bincount(targets, minlength=num_classes).astype(float)
    right = np.bincount(targets[predicted == targets], minlength=num_classes)
    return np.divide(100.0 * right, total, out=np.full(num_classes, np.nan), where=total > 0)


def class_gains(gains: NDArray[np.float64], classes: Sequence[str], key: str, against: str) -> str:
    """Draw by how many points each class gained or lost, sorted; of many classes the ten best and the ten worst."""
    order = [int(i) for i in np.argsort(-gains, kind="stable") if not np.isnan(gains[i])]
    many = len(order) > FEW_CLASSES
    shown = [*order[:SHOWN_ENDS], *order[-SHOWN_ENDS:]] if many else order
    figure, (ax,) = canvas.new_figure(canvas.HALF, 0.75 + 0.235 * max(len(shown), 6))
    heights = np.arange(len(shown), dtype=float) + (np.arange(len(shown)) >= SHOWN_ENDS) * (0.8 if many else 0.0)
    values = gains[shown]
    ax.barh(heights, values, color=[canvas.GAIN if value >= 0 else canvas.LOSS for value in values], height=0.72)
    if many:
        ax.text(0, SHOWN_ENDS - 0.1, "⋮", ha="center", va="center", fontsize=canvas.POINTS + 1)
    ax.set_yticks(heights, canvas.class_ticks([classes[i] for i in shown]))
    ax.margins(y=0.02)
    ax.invert_yaxis()
    ax.axvline(0, color=canvas.TEXT, linewidth=1)
    ax.grid(visible=False, axis="y")
    ax.spines["left"].set_visible(False)
    ax.tick_params(axis="y", length=0)
    canvas.label(ax, x=f"points of top-1 against {against}")
    return canvas.svg(figure, key)


def confusions(analysis: Analysis, num_classes: int) -> Confusions:
    """Return how many samples of each true class the student assigns to each class."""
    return Confusions.of(analysis.targets, analysis.student_top1, num_classes)


def confusion(errors: Confusions, classes: Sequence[str], key: str) -> str:
    """Draw the confusion matrix, each row as shares of its class in percent; empty beyond 1000 classes."""
    if len(classes) > MATRIX_CLASSES:
        return ""
    counts = errors.table()
    shares = 100.0 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure, (ax,) = canvas.new_figure(canvas.HALF, 3.9 if len(classes) <= FEW_CLASSES else 3.6)
    # The square root makes the errors visible beside the diagonal.
    mesh = ax.imshow(np.sqrt(shares), cmap="Blues", vmin=0, vmax=10, interpolation="nearest", rasterized=True)
    canvas.frame(ax)
    if len(classes) <= FEW_CLASSES:
        _name_classes(ax, classes)
    if len(classes) <= 10:
        for (i, j), share in np.ndenumerate(shares):
            if counts[i, j]:
                ax.text(j, i, f"{share:.0f}", ha="center", va="center", color="white" if share > 40 else canvas.TEXT)
    bar = figure.colorbar(mesh, ax=ax, shrink=0.8, ticks=[0, 1, 10**0.5, 30**0.5, 10])
    bar.ax.set_yticklabels(["0", "1", "10", "30", "100"])
    bar.set_label("% of the true class", fontsize=canvas.POINTS)
    bar.outline.set_visible(False)
    canvas.label(ax, x="predicted class", y="true class")
    return canvas.svg(figure, key)


def confused_pairs(errors: Confusions, classes: Sequence[str], key: str) -> str:
    """Draw the pairs of classes that are most often confused; empty without errors."""
    worst = errors.most_confused(PAIRS)
    if not worst:
        return ""
    figure, (ax,) = canvas.new_figure(canvas.HALF, 4.6)
    pairs, first, second = [pair[:2] for pair in worst], *np.array(worst).T[2:]
    ax.barh(range(len(pairs)), first, color=canvas.RUN_COLORS[0], label="1st predicted as 2nd")
    ax.barh(range(len(pairs)), second, left=first, color=canvas.RUN_COLORS[5], label="2nd as 1st")
    names = canvas.class_ticks(classes, 12)
    ax.set_yticks(range(len(pairs)), [f"{names[i]} – {names[j]}" for i, j in pairs])
    ax.margins(y=0.02)
    ax.invert_yaxis()
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    ax.grid(visible=False, axis="y")
    figure.legend(fontsize=canvas.POINTS - 0.5, frameon=False, loc="outside upper right", ncols=2)
    canvas.label(ax, x="test samples")
    return canvas.svg(figure, key)


def _name_classes(ax: Axes, classes: Sequence[str]) -> None:
    names = canvas.class_ticks(classes, 12)
    upright = max(map(len, names)) > 2
    ax.set_xticks(range(len(names)), names, rotation=90 if upright else 0)
    ax.set_yticks(range(len(names)), names)
    ax.tick_params(length=0)


def correlation_difference(analysis: Analysis) -> NDArray[np.float32] | None:
    """Return the student's class correlations minus the teacher's, C×C, or None without comparable logits."""
    if analysis.teacher_logits is None or len(analysis.student_logits) < 2:
        return None
    student, teacher = (torch.from_numpy(x).float() for x in (analysis.student_logits, analysis.teacher_logits))
    return (class_correlation(student) - class_correlation(teacher)).numpy()


def correlations(difference: NDArray[np.float32], limit: float, title: str, key: str) -> str:
    """Draw a difference of class correlations on a scale from -limit to limit."""
    figure, (ax,) = canvas.new_figure(canvas.THIRD, 2.75)
    limits = {"vmin": -limit, "vmax": limit, "interpolation": "nearest", "rasterized": True}
    mesh = ax.imshow(difference, cmap=canvas.DIVERGING, **limits)
    canvas.frame(ax)
    bar = figure.colorbar(mesh, ax=ax, shrink=0.8, ticks=[-limit, 0, limit])
    bar.ax.set_yticklabels([f"−{limit:.2f}", "0", f"+{limit:.2f}"])
    canvas.label(ax, x="class", y="class", title=title)
    return canvas.svg(figure, key)


@dataclass(frozen=True)
class Map:
    """Embeddings in the plane: title, points and classes."""

    title: str
    points: NDArray[np.float32]
    targets: NDArray[Any]


def embedding_map(title: str, embeddings: NDArray[Any], targets: NDArray[Any]) -> Map:
    """Map embeddings to the plane by t-SNE with PCA initialization and a fixed seed."""
    x = np.nan_to_num(embeddings.astype(np.float32))
    scale = float(np.abs(x).max())
    x = x - x.mean(axis=0)
    if float(x.std()) <= 1e-6 * scale:
        # A collapsed network: PCA initialization would divide by zero, and NaN crashes t-SNE.
        return Map(title, np.zeros((len(x), 2), np.float32), targets)
    x = x / float(x.std())
    perplexity = min(30.0, max(2.0, (len(x) - 1) / 3.0))
    start = "pca" if min(x.shape) >= 2 and len(x) > 2 else "random"
    points = TSNE(perplexity=perplexity, init=start, random_state=0, max_iter=500).fit_transform(x)
    return Map(title, points, targets)


def embedding_figure(drawn: Map, classes: Sequence[str], key: str) -> str:
    """Draw a map of embeddings; of many classes eight are colored and named, the others gray."""
    figure, (ax,) = canvas.new_figure(canvas.HALF, 4.4)
    canvas.frame(ax)
    present = np.unique(drawn.targets)
    many = len(present) > 10
    named = present[np.linspace(0, len(present) - 1, HIGHLIGHTED).round().astype(int)] if many else present
    gray = ~np.isin(drawn.targets, named)
    ax.scatter(*drawn.points[gray].T, s=9, color="#cfcfcf", linewidths=0, rasterized=True)
    palette = (*canvas.RUN_COLORS, "#000000", "#8c8c00", "#7a5195", "#7f7f7f")
    for number, name in enumerate(named):
        points = drawn.points[drawn.targets == name]
        look = {"color": palette[number], "marker": "o^sDvP<>Xp"[number], "linewidths": 0, "alpha": 0.85}
        ax.scatter(*points.T, s=26 if many else 17, rasterized=True, **look)
    for number, name in enumerate(named):
        short = canvas.class_ticks([classes[int(name)]])[0]
        _tag(ax, drawn.points[drawn.targets == name], short, palette[number], above=15 if many else 0)
    canvas.label(ax, title=drawn.title)
    return canvas.svg(figure, key)


def _tag(ax: Axes, points: NDArray[Any], name: str, color: str, *, above: float) -> None:
    """Write a class's name some points above its medoid."""
    middle = points[np.abs(points[:, None] - points[None]).sum(axis=(1, 2)).argmin()]
    box = {"boxstyle": "round,pad=0.2", "facecolor": "white", "edgecolor": color, "alpha": 0.85, "linewidth": 0.8}
    look = {"ha": "center", "va": "center", "fontsize": canvas.POINTS - 0.5, "color": canvas.TEXT, "bbox": box}
    at = (float(middle[0]), float(middle[1]))
    ax.annotate(name, at, xytext=(0, above), textcoords="offset points", **look)


def plan_figure(analysis: Analysis, classes: Sequence[str], key: str) -> str:
    """Draw the transport plan of one batch, in units of a sample's mass, with the borders of the classes."""
    if analysis.plan is None or analysis.plan_rows is None:
        return ""
    labels = analysis.targets[analysis.plan_rows]
    figure, (ax,) = canvas.new_figure(canvas.HALF, 4.1)
    share = 100.0 * analysis.plan * len(labels)
    mesh = ax.imshow(np.sqrt(share), cmap="Blues", vmin=0, vmax=10, interpolation="nearest", rasterized=True)
    canvas.frame(ax)
    starts = np.flatnonzero(np.r_[True, labels[1:] != labels[:-1]])
    for border in starts[1:]:
        ax.axhline(border - 0.5, color="#999999", linewidth=0.6)
        ax.axvline(border - 0.5, color="#999999", linewidth=0.6)
    middles = (starts + np.r_[starts[1:], len(labels)] - 1) / 2.0
    names = canvas.class_ticks([classes[int(labels[start])] for start in starts], 12)
    ax.set_xticks(middles, names, rotation=90 if max(map(len, names)) > 2 else 0)
    ax.set_yticks(middles, names)
    ax.tick_params(length=0)
    bar = figure.colorbar(mesh, ax=ax, shrink=0.8, ticks=[0, 1, 10**0.5, 30**0.5, 10])
    bar.ax.set_yticklabels(["0", "1", "10", "30", "100"])
    bar.set_label("% of the sample's mass", fontsize=canvas.POINTS)
    canvas.label(ax, x="teacher's samples", y="student's samples")
    return canvas.svg(figure, key)


def plan_shares(analysis: Analysis) -> tuple[float, float] | None:
    """Return the mass of a plan on the same sample and within the same class, in percent."""
    if analysis.plan is None or analysis.plan_rows is None:
        return None
    labels, total = analysis.targets[analysis.plan_rows], analysis.plan.sum()
    within = analysis.plan[labels[:, None] == labels[None, :]].sum()
    return float(100.0 * np.trace(analysis.plan) / total), float(100.0 * within / total)


def thumbnail(image: NDArray[np.uint8]) -> str:
    """Return one H×W×(1 or 3) image as a PNG data URI."""
    out = io.BytesIO()
    Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image).save(out, format="PNG")
    return canvas.data_uri(out.getvalue())
