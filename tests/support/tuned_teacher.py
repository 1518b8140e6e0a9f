"""A small method whose teacher trains: a factor for each channel of one layer, learned beside the student."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wcord.data.batch import Batch
from wcord.features import Features
from wcord.methods.catalogue import MethodInfo
from wcord.methods.setting import Setting
from wcord.methods.term import Needs, TeacherTraining, Term
from wcord.models.network import unwrap


class Tuned(nn.Module):
    """A layer whose channels are multiplied by factors that train."""

    def __init__(self, layer: nn.Module, channels: int, start: float) -> None:
        super().__init__()
        self.layer = layer
        self.factor = nn.Parameter(torch.full((channels,), start))

    def forward(self, x: Tensor) -> Tensor:
        """Return the layer's output, each channel times its factor."""
        output = self.layer(x)
        return output * self.factor.view(1, -1, *[1] * (output.dim() - 2))


def adapt_teacher(
    teacher: nn.Module,
    student: nn.Module,
    sample: Tensor | None,
    teacher_sample: Tensor | None,
    teacher_maps: tuple[str, ...],
    *,
    place: str = "layer1",
    start: float = 1.0,
) -> nn.Module:
    """Return the teacher with a layer that is tuned."""
    network = unwrap(teacher)
    layer = network.get_submodule(place)
    channels = next(len(p) for p in reversed([*layer.parameters()]))
    network.set_submodule(place, Tuned(layer, channels, start))
    return teacher


class TunedTerm(Term):
    """Squared difference of the logits; the teacher learns the labels and to be near the student."""

    needs = Needs(same_classes=True)

    def __init__(
        self,
        name: str,
        setting: Setting,
        *,
        rate: float = 0.1,
        mode: str = "eval",
        optimizer: str = "adamw",
        schedule: str = "cosine",
    ) -> None:
        super().__init__()
        self.teacher_training = TeacherTraining(optimizer, rate, schedule=schedule, mode=mode)  # pyright: ignore[reportArgumentType]  # options are text

    def forward(self, student: Features, teacher: Features, batch: Batch) -> Tensor:
        """Return the loss of the student."""
        return F.mse_loss(student.logits, teacher.logits)

    def teach(self, student: Features, teacher: Features, batch: Batch) -> Tensor:
        """Return the loss of the factors."""
        return F.cross_entropy(teacher.logits, batch.target) + 0.1 * F.mse_loss(teacher.logits, student.logits)


INFO = MethodInfo(
    title="a teacher with factors that train",
    paper="a test",
    year=2026,
    weight=1.0,
    needs="the same classes",
    term="tests.support.tuned_teacher:TunedTerm",
    checked="nothing",
    adapt_teacher="tests.support.tuned_teacher:adapt_teacher",
)
"""The method's row, for tests that add it to the catalogue."""
