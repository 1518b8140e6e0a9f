"""What samples and weights can do to a run that is under way, as one line with its step and how to go on."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from wcord.checks import NonFiniteError, RunError
from wcord.data.images import UnreadableError
from wcord.training.consent import resume_command
from wcord.training.meter import REMEDY
from wcord.training.run import RunFolder


@contextmanager
def failing(run: RunFolder, step: Callable[[], int]) -> Iterator[None]:
    """Turn a sample that cannot be read, and NaN where a loss or a measure meets it, into the failure of a run.

    Args:
        run: the run's folder, which notes that a sample may be replaced.
        step: gives the number of the step that it happens at.

    Raises:
        RunError: instead of either.
    """
    try:
        yield
    except NonFiniteError as error:
        raise RunError(f"step {step()}: {error}; {REMEDY}") from None
    except UnreadableError as error:
        run.note_damage()
        raise RunError(
            f"step {step()}: {error.fault}: put a whole one in its place and go on with "
            f"{resume_command(run.path, run.configuration()[0])}; the last checkpoint is kept"
        ) from None
