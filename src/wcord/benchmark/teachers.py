"""Where a teacher's weights come from: a file that was given, or the suite's own training."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from wcord import checks
from wcord.benchmark.rows import TeacherRun
from wcord.benchmark.suite import Suite, file_name
from wcord.checks import UsageError
from wcord.training.run import STUDENT

PLACES = ("{}_vanilla/ckpt_epoch_240.pth", "{}.pth", "{}.safetensors", "{}/" + STUDENT)
"""Where a folder may hold a teacher: RepDistiller's layout, files by name, the trainings of another suite."""


@dataclass(frozen=True)
class Teachers:
    """The weights of a suite's teachers.

    Attributes:
        given: key → file, of those that need no training.
        trained: the trainings of the others, by their keys.
        out: folder of the suite's runs.
    """

    given: dict[str, Path]
    trained: dict[str, TeacherRun]
    out: Path

    def weights(self, teacher: TeacherRun) -> Path:
        """Return the file that holds a teacher, or will once it is trained."""
        given = self.given.get(teacher.key)
        return teacher.weights(self.out) if given is None else given


def find_teachers(
    suite: Suite, wanted: Sequence[TeacherRun], places: Sequence[str], out: Path, *, required: bool = True
) -> Teachers:
    """Return where each teacher comes from.

    Args:
        suite: the suite.
        wanted: the teachers that are needed, as trainings.
        places: folders that hold teachers, or `NAME=FILE`.
        out: folder of the suite's runs.
        required: whether a teacher that is neither given nor trained is an error.

    Raises:
        UsageError: where a folder or file is missing, a name is none of the suite's, or a teacher is nowhere to be
            found and the suite does not train it.
    """
    files: dict[str, Path] = {}
    folders: list[Path] = []
    for place in places:
        name, equals, path = place.partition("=")
        if equals and suite.split_by_seed:
            raise UsageError(
                f"suite {suite.name} holds out other samples for each seed, which one {name} would have seen: give a "
                f"folder with {file_name(name)}.seed0 and so on, or let the suite train them"
            )
        if equals:
            checks.require_choice(f"teacher of {suite.name}", name, suite.teachers)
            files[file_name(name)] = checks.require_file(path, f"weights of teacher {name}")
        elif Path(place).is_dir():
            folders.append(Path(place))
        else:
            raise UsageError(f"--teachers {place!r} is no folder: name one that holds teachers, or NAME=FILE")
    found = {teacher.key: files.get(teacher.key) or _look_for(teacher.key, folders) for teacher in wanted}
    given = {key: path for key, path in found.items() if path is not None}
    trained = {teacher.key: teacher for teacher in wanted if teacher.key not in given}
    if trained and required and suite.teacher is None:
        missing = [teacher.model for teacher in trained.values()]
        raise UsageError(
            f"suite {suite.name} trains no teachers and {', '.join(missing)} was not given: --teachers FOLDER that "
            f"holds {file_name(missing[0])}.pth, or --teachers {missing[0]}=FILE ({suite.checkpoints})"
        )
    return Teachers(given, trained, out)


def _look_for(key: str, folders: Sequence[Path]) -> Path | None:
    candidates = (folder / place.format(key) for folder in folders for place in PLACES)
    return next((path for path in candidates if path.is_file()), None)
