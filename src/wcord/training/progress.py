"""Progress of a run: live bars in a terminal, plain lines elsewhere."""

import sys
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from wcord.terminal import Terminal, printable
from wcord.training.measures import BY_LABEL, DOMINANT


class RunProgress:
    """Progress over epochs and steps, with the rate, the remaining time and the latest values, on stderr.

    Args:
        total_steps: steps of the whole run.
        done: steps done before a run is resumed.
        visible: False in all processes but the first.
    """

    def __init__(self, total_steps: int, *, done: int = 0, visible: bool = True) -> None:
        self.console = Terminal(stderr=True, quiet=not visible)
        self.live = visible and sys.stderr.isatty()
        self._progress = Progress(
            TextColumn("{task.fields[epoch]}", style="bold", markup=False),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}", markup=False),
            TimeRemainingColumn(),
            TextColumn("{task.fields[values]}", markup=False),
            console=self.console,
            disable=not self.live,
        )
        self._task: TaskID = self._progress.add_task(
            "train", total=total_steps, completed=done, epoch="", rate="", values=""
        )

    def __enter__(self) -> "RunProgress":
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def show(self, done: int, *, epoch: str, values: dict[str, float], images_per_second: float) -> None:
        """Show the number of finished steps, and the latest values."""
        if not self.live:
            return
        text = printable(" ".join(f"{name} {value:.3g}" for name, value in values.items()))
        self._progress.update(
            self._task, completed=done, epoch=epoch, rate=f"{images_per_second:,.0f} images/s", values=text
        )

    def line(self, text: str) -> None:
        """Print a line above the bar."""
        self._progress.console.print(text, soft_wrap=True)


def epoch_line(stage: str, epoch: int, epochs: int, entry: Mapping[str, Any]) -> str:
    """Return the line on a finished epoch.

    >>> epoch_line("epoch", 3, 10, {"loss": 1.5, "parts": {"ce": 1.5}, "train_top1": 40.0, "seconds": 60.0})
    'epoch   3/10  loss 1.500 (ce 1.500)  train 40.00 %  60.0 s, about 7 min 00 s left'
    """
    parts = " ".join(f"{name} {value:.3f}" for name, value in entry["parts"].items())
    train = f"  train {entry['train_top1']:.2f} %" if "train_top1" in entry else ""
    if DOMINANT in entry:
        train = f"  train {entry[DOMINANT]:.2f} % of dominant labels"
    if BY_LABEL in entry:
        train = f"  train {entry[BY_LABEL]:.2f} % of labels"
    test = f"  test {entry['test_top1']:.2f} %" if "test_top1" in entry else ""
    if "test_map" in entry:
        test = f"  test mAP {entry['test_map']:.2f} %"
    teacher = next((value for name, value in entry.items() if name.startswith("teacher_test_")), None)
    if teacher is not None:
        test += f"  teacher {teacher:.2f} %"
    left = clock_text((epochs - epoch) * entry["seconds"])
    return (
        f"{stage} {epoch:3d}/{epochs}  loss {entry['loss']:.3f} ({parts}){train}{test}  "
        f"{entry['seconds']:.1f} s, about {left} left"
    )


def clock_text(seconds: float) -> str:
    """Return a duration in words.

    >>> clock_text(40), clock_text(125), clock_text(7500)
    ('40 s', '2 min 05 s', '2 h 05 min')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
