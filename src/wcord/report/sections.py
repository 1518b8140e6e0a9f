"""The figures of a page, in order, with their captions.

A new figure is a function in `figures` or `pictures` that returns SVG, and a line in a section.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from wcord.report import figures, pictures
from wcord.report.analysis import Analysis
from wcord.report.headline import Side
from wcord.report.tables import ResultRow


@dataclass(frozen=True)
class Picture:
    """One figure: its SVG, its caption and whether it takes a third of the width."""

    svg: str
    caption: str
    third: bool = False


@dataclass(frozen=True)
class Section:
    """A heading, an introduction, and its figures."""

    title: str
    intro: str = ""
    pictures: list[Picture] = field(default_factory=list)


@dataclass(frozen=True)
class Shown:
    """The runs of a page: one `Side` and one `Series` per configuration, and which are its subject and its baseline."""

    sides: Sequence[Side]
    series: Sequence[figures.Series]
    teachers: Sequence[ResultRow]
    main: int
    baseline: int | None
    seeds: Sequence[Sequence[Analysis]]

    @property
    def subject(self) -> Side:
        """The configuration that the page is about."""
        return self.sides[self.main]


def sections(shown: Shown) -> list[Section]:
    """Return the sections of a page; sections without a figure are omitted."""
    parts = [training(shown), loss_parts(shown), classes(shown), knowledge(shown)]
    return [section for section in parts if section.pictures]


def training(shown: Shown) -> Section:
    """Return the curves over epochs, and accuracy against size."""
    several = any(len(one.records) > 1 for one in shown.series)
    band = " Lines are means over seeds, bands their range." if several else ""
    drawn = [
        Picture(
            figures.accuracy_curves(shown.series, shown.teachers),
            "Accuracy on the test set after each epoch; the last point is the result. Thin lines: augmented training "
            f"batches{_trained_teachers(shown)}.{band}",
        ),
        Picture(figures.loss_curves(shown.series), f"Total training loss; methods differ in its parts.{band}"),
        Picture(
            figures.accuracy_against_size([*shown.teachers, *(side.row for side in shown.sides)]),
            "Accuracy of the last epoch against the number of parameters: upper left is better.",
        ),
    ]
    return Section("Training", pictures=[picture for picture in drawn if picture.svg])


def _trained_teachers(shown: Shown) -> str:
    """Return the part of a caption on teachers that train, if there are any."""
    epochs = [epoch for one in shown.series for record in one.records for epoch in record.epochs]
    any_trains = any("teacher_test_top1" in epoch for epoch in epochs)
    return "; thin lines with a star: the teacher, which trains too, on the test set" if any_trains else ""


def loss_parts(shown: Shown) -> Section:
    """Return one small figure per part of the loss."""
    parts = figures.part_curves(shown.series)
    drawn = [Picture(svg, f"{name}: mean over each epoch.", third=True) for name, svg in parts.items()]
    return Section("Parts of the loss", "Each part before its weight, in the colors of the runs above.", drawn)


def classes(shown: Shown) -> Section:
    """Return gains and losses within classes, and the confusions."""
    subject = shown.subject
    if subject.analysis is None:
        return Section("Classes")
    names = subject.record.classes
    drawn = []
    if (compared := _gains(shown)) is not None:
        gains, against = compared
        ends = (
            f", the {pictures.SHOWN_ENDS} best and worst of {len(names)}" if len(names) > pictures.FEW_CLASSES else ""
        )
        better, worse = int((gains > 0).sum()), int((gains < 0).sum())
        caption = f"{subject.row.run} against {against}, by class{ends}: {better} gain, {worse} lose."
        drawn.append(Picture(pictures.class_gains(gains, names, "gains", against), caption))
    errors = pictures.confusions(subject.analysis, len(names))
    if table := pictures.confusion(errors, names, "confusion"):
        caption = f"Confusion matrix of {subject.row.run} (square-root color scale, to show rare errors)."
        drawn.append(Picture(table, caption))
    if len(names) > 10 and (pairs := pictures.confused_pairs(errors, names, "pairs")):
        drawn.append(Picture(pairs, f"The pairs of classes that {subject.row.run} confuses most."))
    return Section("Classes", pictures=drawn)


def _gains(shown: Shown) -> tuple[NDArray[np.float64], str] | None:
    """Return points gained per class, against the baseline (mean over seeds), else against the teacher."""
    subject = shown.subject
    count = subject.record.num_classes
    accuracy = _mean_class_accuracy(shown.seeds[shown.main], count)
    if shown.baseline is not None and shown.seeds[shown.baseline]:
        return accuracy - _mean_class_accuracy(shown.seeds[shown.baseline], count), shown.sides[shown.baseline].row.run
    analysis = subject.analysis
    if analysis is None or analysis.teacher_top1 is None:
        return None
    return accuracy - pictures.class_accuracy(analysis.teacher_top1, analysis.targets, count), "its teacher"


def _mean_class_accuracy(seeds: Sequence[Analysis], count: int) -> NDArray[np.float64]:
    return np.mean([pictures.class_accuracy(one.student_top1, one.targets, count) for one in seeds], axis=0)


def knowledge(shown: Shown) -> Section:
    """Return how closely the student's relations of classes and samples match the teacher's."""
    return Section(
        "What the student learned from its teacher" if shown.subject.record.teacher else "Embeddings",
        pictures=[*_correlations(shown), *_embeddings(shown), *_plan(shown)],
    )


def _correlations(shown: Shown) -> list[Picture]:
    differences = {
        number: difference
        for number, side in enumerate(shown.sides)
        if side.analysis is not None and (difference := pictures.correlation_difference(side.analysis)) is not None
    }
    if not differences:
        return []
    limit = max(0.02, float(np.percentile(np.abs(np.concatenate([d.ravel() for d in differences.values()])), 99)))
    return [
        Picture(
            pictures.correlations(difference, limit, shown.sides[number].row.run, f"correlation{number}"),
            f"Correlation of class logits, student minus teacher: mean magnitude {np.abs(difference).mean():.3f}.",
            third=True,
        )
        for number, difference in differences.items()
    ]


def _embeddings(shown: Shown) -> list[Picture]:
    """Return maps of the teacher, the baseline and the subject."""
    subject = shown.subject.analysis
    if subject is None or len(subject.embedding_rows) < 8:
        return []
    names, targets = shown.subject.record.classes, subject.targets[subject.embedding_rows]
    maps = []
    if subject.teacher_embeddings is not None:
        title = f"teacher {shown.subject.record.teacher}"
        maps.append(pictures.embedding_map(title, subject.teacher_embeddings, targets))
    maps.append(pictures.embedding_map(shown.subject.row.run, subject.student_embeddings, targets))
    return [
        Picture(
            pictures.embedding_figure(one, names, f"map{number}"),
            f"t-SNE of {len(targets):,} test embeddings of {one.title}; distances between groups are not meaningful.",
        )
        for number, one in enumerate(maps)
    ]


def _plan(shown: Shown) -> list[Picture]:
    analysis = shown.subject.analysis
    if analysis is None or (shares := pictures.plan_shares(analysis)) is None:
        return []
    caption = (
        f"Transport plan of one batch, {shown.subject.row.run} to teacher: {shares[0]:.0f}\u00a0% on the same "
        f"sample, {shares[1]:.0f}\u00a0% within the class (mapped by ridge regression on other samples, cosine cost)."
    )
    return [Picture(pictures.plan_figure(analysis, shown.subject.record.classes, "plan"), caption)]
