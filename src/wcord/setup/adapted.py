"""The teacher as a method adapts it: with parts that train, and measured on what the teacher sees."""

from torch import Tensor

from wcord.checks import UsageError
from wcord.data.dataset import DataSet
from wcord.data.loader import Loader
from wcord.methods.build import adapt_teacher, adapts_teacher
from wcord.methods.options import parse_options
from wcord.models.network import Network
from wcord.training.config import DistillConfig, TrainConfig


def adapted_teacher(
    config: TrainConfig | DistillConfig, teacher: Network | None, student: Network, samples: tuple[Tensor, Tensor]
) -> Network | None:
    """Return a copy of the teacher with the parts that a run's method adds, or the teacher itself if it adds none.

    Args:
        config: the configuration of the run.
        teacher: the trained network; it is not changed.
        student: the network to be trained.
        samples: a batch of the student's and of the teacher's inputs.

    Raises:
        UsageError: the teacher does not fit the method, or the precision does not fit a teacher that trains.
    """
    if teacher is None or isinstance(config, TrainConfig):
        return teacher
    name = adapts_teacher(config.method)
    if name is not None and config.training.precision == "fp16":
        raise UsageError(
            f"{name} trains parts of the teacher, which --precision fp16 does not support: use bf16 or fp32"
        )
    maps = config.teacher_maps or None
    options = parse_options(config.set)
    adapted = adapt_teacher(config.method, teacher, student, *samples, teacher_maps=maps, options=options)
    assert isinstance(adapted, Network)
    return adapted


def teacher_batches(data: DataSet, test: Loader, workers: int) -> Loader | None:
    """Return the evaluation batches of what the teacher sees: the student's samples, in order, unless paired by label.

    Args:
        data: the run's data.
        test: the student's evaluation batches.
        workers: processes that decode pictures.

    Returns:
        The batches, or None if the teacher has no evaluation samples.
    """
    split = data.of_teacher.test
    return Loader(split, batch_size=test.batch_size, device=test.device, workers=workers) if len(split) else None
