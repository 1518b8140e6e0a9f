"""The gain of a run in one sentence, and its uncertainty."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from wcord.report.analysis import Analysis
from wcord.report.record import Record
from wcord.report.tables import ResultRow

ALONE = "ce"
"""Training without a teacher, the first choice of baseline for a distilled student."""


@dataclass(frozen=True)
class Side:
    """One configuration: its row, and the record and analysis of its first seed."""

    row: ResultRow
    record: Record
    analysis: Analysis | None = None

    @property
    def doubt(self) -> str:
        """Why its accuracy is doubtful, as a verb phrase after the network's name; empty if it is not.

        Records of older versions lack `at_chance`; it is then estimated from the predictions.
        """
        at_chance = self.row.at_chance
        if "at_chance" not in self.record.metrics and self.analysis is not None:
            right = np.mean(self.analysis.student_top1 == self.analysis.targets)
            at_chance = bool(right <= np.bincount(self.analysis.targets).max() / len(self.analysis.targets))
        if at_chance:
            return "is at chance"
        return "was saved with normalization statistics that may not fit its weights" if self.row.unsettled else ""


def main_side(sides: Sequence[Side]) -> int:
    """Return the position of the configuration that the report is about: the best distilled one, else the best."""
    distilled = [i for i, side in enumerate(sides) if side.record.teacher is not None and side.row.method != ALONE]
    return max(distilled or range(len(sides)), key=lambda i: sides[i].row.top1 or 0.0)


def baseline_side(sides: Sequence[Side], main: int) -> int | None:
    """Return the position of the baseline: the same network and data with `ce`, else `kd`, else the first."""
    task = (sides[main].record.student, sides[main].record.data)
    others = [i for i, side in enumerate(sides) if i != main and (side.record.student, side.record.data) == task]
    preference = {ALONE: 0, "kd": 1}
    return min(others, key=lambda i: preference.get(sides[i].row.method, 2), default=None)


def headline(main: Side, baseline: Side | None, teacher: ResultRow | None) -> str:
    """Return one sentence on the last epoch's accuracy, against the baseline and the teacher, and on the size.

    It states no gain if the accuracy of one of the two students is doubtful.
    """
    row = main.row
    if row.values("map_last"):
        return _of_several_labels(main, teacher)
    if row.top1 is None:
        return f"{row.student} was trained on {main.record.data}, but its accuracy was not measured."
    text = f"{row.student} {_by(main)} reaches {row.top1:.1f} % on {main.record.data}"
    against: list[str] = []
    gain = None
    if baseline is not None and baseline.row.top1 is not None:
        gain = row.top1 - baseline.row.top1
        against.append(f"{_points(gain)} the same network {_by(baseline)} ({baseline.row.top1:.1f} %)")
    if teacher is not None and teacher.top1 is not None:
        against.append(f"{_points(row.top1 - teacher.top1)} {_its(teacher)} ({teacher.top1:.1f} %)")
    if against:
        text += ", " + " and ".join(against)
    if teacher is not None and teacher.parameters and row.parameters and teacher.parameters > 1.05 * row.parameters:
        text += f", with {_fraction(teacher.parameters / row.parameters)} of the teacher's parameters"
    doubtful = [side for side in (main, baseline) if side is not None and side.doubt]
    if doubtful and gain is None:
        return f"{text}; it {doubtful[0].doubt}."
    if doubtful:
        which = " and ".join(f"the network {_by(side)} {side.doubt}" for side in doubtful)
        return f"No statement about a gain is possible because {which}: {text}."
    return ("No gain: " if gain is not None and round(gain, 1) <= 0 else "") + text + "."


def _its(teacher: ResultRow) -> str:
    return f"its {'adapted ' if teacher.is_adapted else ''}teacher {teacher.student}"


def _of_several_labels(main: Side, teacher: ResultRow | None) -> str:
    """Return the sentence on a student whose samples have several labels."""
    row = main.row
    precision, macro, micro = (
        float(np.mean(values)) for values in (row.values("map_last"), row.values("macro_f1"), row.values("micro_f1"))
    )
    text = f"{row.student} {_by(main)} reaches a mean average precision of {precision:.1f} % on {main.record.data}"
    text += f" (macro-F1 {macro:.1f} %, micro-F1 {micro:.1f} %)"
    if teacher is not None and teacher.values("map_last"):
        above = f"{_points(precision - teacher.values('map_last')[0])} {_its(teacher)}"
        text += f", {above} ({teacher.values('map_last')[0]:.1f} %)"
    return f"{text}."


def certainty(main: Side, baseline: Side | None) -> list[str]:
    """Return sentences on the number of seeds and on the test samples that decide the difference."""
    values = main.row.values("top1_last") or main.row.values("map_last")
    seeds = len(values)
    sentences = []
    if seeds > 1:
        sentences.append(f"Mean of {seeds} seeds; standard deviation {np.std(values, ddof=1):.2f} points.")
    else:
        sentences.append("One seed: a different seed may change the result as much as a different method.")
    if baseline is not None and (paired := _paired(main.analysis, baseline.analysis, baseline.row.run)):
        sentences.append(paired)
    return sentences


def _paired(main: Analysis | None, baseline: Analysis | None, name: str) -> str | None:
    """Compare two runs sample by sample; the interval is the normal approximation for paired proportions."""
    if main is None or baseline is None or not np.array_equal(main.targets, baseline.targets):
        return None
    right, base = main.student_top1 == main.targets, baseline.student_top1 == baseline.targets
    gained, lost, total = int((right & ~base).sum()), int((base & ~right).sum()), len(right)
    difference = (gained - lost) / total
    margin = 1.96 * max((gained + lost) / total - difference**2, 0.0) ** 0.5 / total**0.5
    low, high = 100 * (difference - margin), 100 * (difference + margin)
    return (
        f"Of the same {total:,} test samples, {gained} are right here and wrong in {name}, {lost} the reverse "
        f"(first seed of each): a difference of {_signed(low)} to {_signed(high)} points, 95 % interval over the "
        "choice of test samples."
    )


def _by(side: Side) -> str:
    if side.row.method == ALONE:
        return "trained alone"
    return f"trained with {side.row.method}" if side.record.teacher is None else f"with {side.row.method}"


def _points(difference: float) -> str:
    size = f"{abs(difference):.1f}"
    if size == "0.0":
        return "level with"
    return f"{size} points {'above' if difference > 0 else 'below'}"


def _signed(points: float) -> str:
    return f"{points:+.1f}".replace("-", "−")


def _fraction(ratio: float) -> str:
    return f"1/{ratio:.0f}" if ratio >= 9.5 or abs(ratio - round(ratio)) < 0.05 else f"1/{ratio:.1f}"
