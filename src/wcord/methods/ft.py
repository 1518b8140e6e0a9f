"""Factor transfer as a term: a paraphraser of the teacher, prepared alone, and the student's translator."""

from collections.abc import Callable, Iterable
from functools import partial

import torch
from torch import Tensor, nn

from wcord.data.batch import Batch
from wcord.features import Features, unwrap
from wcord.losses.ft import Paraphraser, Translator, ft_loss
from wcord.methods.maps import spatial_pairs
from wcord.methods.setting import Setting
from wcord.methods.term import Needs, Preparation, Stage, Term
from wcord.models.resnet import ResNet
from wcord.models.wrn import WideResNet
from wcord.numerics import autocast_off

PREPARATION_RATE = 0.2
"""The CRD benchmark prepares at 0.01 where ResNet and WRN students then train at 0.05; others keep their rate."""


class FTTerm(Term):
    """FT( translator(s), paraphraser(t) ) of the last maps.

    In a stage before the main one, of 30 epochs as in the CRD benchmark (the authors' code: 6), the paraphraser learns
    to reconstruct the teacher's last map, and the student does not run. Then it is frozen, and the translator trains
    with the student. The benchmark prepares ResNet and WRN students at a fifth of the run's rate.

    Options are those of `losses.ft_loss`, and:

    Args:
        name: of the term.
        setting: with the maps of both networks.
        rate: width of the factor as a share of the teacher's channels.
    """

    needs = Needs(whole_batch=True)
    loss_signature = ft_loss

    def __init__(self, name: str, setting: Setting, *, rate: float = 0.5, **options: object) -> None:
        super().__init__()
        (pair,) = spatial_pairs(name, setting, "last")
        self.student_map_names = (pair.student,)
        self.teacher_map_names = (pair.teacher,)
        self.paraphraser = Paraphraser(pair.teacher_shape[0], rate=rate)
        self.translator = Translator(pair.student_shape[0], pair.teacher_shape[0], rate=rate)
        self.compute: Callable[..., Tensor] = partial(ft_loss, **options)  # pyright: ignore[reportArgumentType]  # names checked in build
        slower = setting.student is not None and isinstance(unwrap(setting.student), ResNet | WideResNet)
        self.preparation = Preparation(epochs=30, rate=PREPARATION_RATE if slower else 1.0)

    def forward(self, student: Features, teacher: Features, batch: Batch) -> Tensor:
        """Return the distance of the factors; the paraphraser is frozen."""
        student_map, teacher_map = self._maps(student, teacher)
        with autocast_off(student_map):
            with torch.no_grad():
                factor = self.paraphraser(teacher_map)
            return self.compute(self.translator(student_map), factor)

    def prepare(self, student: Features | None, teacher: Features, batch: Batch) -> Tensor:
        """Return the paraphraser's error in reconstructing the teacher's map."""
        return self.paraphraser.reconstruction_loss(teacher.maps[self.teacher_map_names[0]])

    def stage_parameters(self, stage: Stage) -> Iterable[nn.Parameter]:
        """Return the paraphraser's parameters in the preparation, the translator's after it."""
        return (self.paraphraser if stage == "preparation" else self.translator).parameters()

    def _maps(self, student: Features, teacher: Features) -> tuple[Tensor, Tensor]:
        return student.maps[self.student_map_names[0]], teacher.maps[self.teacher_map_names[0]]
