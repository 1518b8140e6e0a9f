"""What is shown while a run is under way: live bars in a terminal, plain lines elsewhere."""

import sys
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn


class RunProgress:
    """Progress over epochs and steps, with the rate, the remaining time and the latest values, on stderr.

    Args:
        total_steps: steps of the whole run.
        done: steps done before this call, when a run is resumed.
        visible: False in all processes but the first.
    """

    def __init__(self, total_steps: int, *, done: int = 0, visible: bool = True) -> None:
        self.console = Console(stderr=True, quiet=not visible)
        self.live = visible and sys.stderr.isatty()
        self._progress = Progress(
            TextColumn("[bold]{task.fields[epoch]}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[values]}"),
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

    def advance(self, *, epoch: str, values: dict[str, float], images_per_second: float) -> None:
        """Move on by one step."""
        shown = " ".join(f"{name} {value:.3g}" for name, value in values.items())
        self._progress.update(
            self._task, advance=1, epoch=epoch, rate=f"{images_per_second:,.0f} images/s", values=shown
        )

    def line(self, text: str) -> None:
        """Print a line above the bar."""
        self._progress.console.print(text, highlight=False, markup=False, soft_wrap=True)
