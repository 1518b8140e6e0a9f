"""The weights of a suite's teachers: a file of the user, or the suite's training."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from wcord import checks
from wcord.benchmark.rows import TeacherRun
from wcord.benchmark.suite import Suite, file_name
from wcord.checks import UsageError
from wcord.paths import require_file
from wcord.training.run import STUDENT

PLACES = ("{}_vanilla/ckpt_epoch_240.pth", "{}.pth", "{}.safetensors", "{}/" + STUDENT)
"""Paths of a teacher in a folder: RepDistiller's layout, files by name, the teachers of another suite."""


@dataclass(frozen=True)
class Teachers:
    """The weights of a suite's teachers.

    Attributes:
        provided: key → file of the user.
        trained: key → training, of the others.
        out: folder of the suite's runs.
    """

    provided: dict[str, Path]
    trained: dict[str, TeacherRun]
    out: Path

    def weights(self, teacher: TeacherRun) -> Path:
        """Return the file of a teacher, which exists once it is trained."""
        return self.provided.get(teacher.key) or teacher.weights(self.out)


def find_teachers(
    suite: Suite, needed: Sequence[TeacherRun], places: Sequence[str], out: Path, *, required: bool = True
) -> Teachers:
    """Return the file or the training of each teacher.

    Args:
        suite: the suite.
        needed: the teachers, as trainings.
        places: folders of teachers, or `NAME=FILE`.
        out: folder of the suite's runs.
        required: whether a teacher that has no file and is not trained by the suite is an error.

    Raises:
        UsageError: if a folder or file is missing, a name is not in the suite, or a teacher has no file and the suite
            does not train it.
    """
    files: dict[str, Path] = {}
    folders: list[Path] = []
    for place in places:
        name, equals, path = place.partition("=")
        if equals and suite.split_by_seed:
            raise UsageError(
                f"suite {suite.name} holds out different samples for each seed, and one {name} may have been trained "
                f"on them: name a folder with {file_name(name)}.seed0 and so on, or let the suite train its teachers"
            )
        if equals:
            checks.require_choice(f"teacher of {suite.name}", name, suite.teachers)
            files[file_name(name)] = require_file(path, f"weights of teacher {name}")
        elif Path(place).is_dir():
            folders.append(Path(place))
        else:
            raise UsageError(f"--teachers {place!r} is not a folder: name a folder of teachers, or NAME=FILE")
    paths = {teacher.key: files.get(teacher.key) or _find_file(teacher.key, folders) for teacher in needed}
    provided = {key: path for key, path in paths.items() if path is not None}
    trained = {teacher.key: teacher for teacher in needed if teacher.key not in provided}
    if trained and required and suite.teacher is None:
        missing = [teacher.model for teacher in trained.values()]
        raise UsageError(
            f"suite {suite.name} does not train its teachers, and {', '.join(missing)} is missing: add --teachers "
            f"FOLDER with {file_name(missing[0])}.pth, or --teachers {missing[0]}=FILE ({suite.checkpoints})"
        )
    return Teachers(provided, trained, out)


def _find_file(key: str, folders: Sequence[Path]) -> Path | None:
    candidates = (folder / place.format(key) for folder in folders for place in PLACES)
    return next((path for path in candidates if path.is_file()), None)
