"""Failures of a run caused by samples, weights or the machine, as one line that says how to resume."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from wcord.checks import NonFiniteError, RunError
from wcord.data.images import UnreadableError
from wcord.data.workers import WorkerLostError
from wcord.memory import lack_of_memory
from wcord.training.consent import resume_command
from wcord.training.meter import REMEDY
from wcord.training.run import RunFolder


@contextmanager
def failing(run: RunFolder, step: Callable[[], int]) -> Iterator[None]:
    """Turn an unreadable sample, and NaN in a loss or a measure, into the failure of a run.

    Args:
        run: the run's folder, which records that a sample may be replaced.
        step: returns the number of the current step.

    Raises:
        RunError: in its place.
    """
    try:
        yield
    except NonFiniteError as error:
        raise RunError(f"step {step()}: {error}; {REMEDY}") from None
    except UnreadableError as error:
        run.note_damage()
        raise RunError(
            f"step {step()}: {error.fault}: replace the file by an intact copy and resume with "
            f"{_command(run)}; the last checkpoint is kept"
        ) from None


@contextmanager
def resumable(run: RunFolder) -> Iterator[None]:
    """Turn a lack of memory or a lost worker, which may surface anywhere, into a failure that says how to resume.

    Args:
        run: the run's folder.

    Raises:
        RunError: in its place.
    """
    try:
        yield
    except WorkerLostError as error:
        raise RunError(f"{error}; the last checkpoint is kept: resume with {_command(run)}") from None
    except (MemoryError, RuntimeError, OSError) as error:
        lack = lack_of_memory(error)
        if lack is None:
            raise
        raise RunError(
            f"{lack}: close other programs and resume with {_command(run)}, or start again with a smaller --batch-size "
            "(--gradient-accumulation-steps makes up for it), fewer --workers, --in-memory no or, on a GPU, "
            "--capture off and --teacher-ahead 1"
        ) from error


def _command(run: RunFolder) -> str:
    return resume_command(run.path, run.configuration()[0])
