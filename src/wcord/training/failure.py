"""What samples, weights and the machine can do to a run that is under way, as one line that says how to go on."""

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
            f"{_way_on(run)}; the last checkpoint is kept"
        ) from None


@contextmanager
def resumable(run: RunFolder) -> Iterator[None]:
    """Turn a lack of memory and a lost worker, which may be heard of anywhere, into a failure that says how to go on.

    Args:
        run: the run's folder.

    Raises:
        RunError: instead of either.
    """
    try:
        yield
    except WorkerLostError as error:
        raise RunError(f"{error}; the last checkpoint is kept: go on with {_way_on(run)}") from None
    except (MemoryError, RuntimeError, OSError) as error:
        lack = lack_of_memory(error)
        if lack is None:
            raise
        raise RunError(
            f"{lack}: end other programs and go on with {_way_on(run)}, or begin anew with a smaller --batch-size "
            "(--gradient-accumulation-steps makes up for it), fewer --workers, --in-memory no or, on a GPU, "
            "--capture off and --teacher-ahead 1"
        ) from error


def _way_on(run: RunFolder) -> str:
    return resume_command(run.path, run.configuration()[0])
