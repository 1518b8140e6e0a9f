"""Distillation by singular value decomposition as a term."""

from functools import partial

from torch import Tensor

from wcord.checks import DoesNotFitError
from wcord.data.batch import Batch
from wcord.features import Features
from wcord.losses import kdsvd_loss
from wcord.methods.maps import spatial_pairs
from wcord.methods.setting import Setting
from wcord.methods.term import Needs, Term


class KDSVDTerm(Term):
    """How singular vectors change from stage to stage; options are those of `losses.kdsvd_loss`."""

    needs = Needs(reads="torch.linalg.svd waits for the device")
    loss_signature = kdsvd_loss

    def __init__(self, name: str, setting: Setting, **options: object) -> None:
        super().__init__()
        pairs = spatial_pairs(name, setting)
        self.student_map_names = tuple(pair.student for pair in pairs)
        self.teacher_map_names = tuple(pair.teacher for pair in pairs)
        for pair in pairs:
            if pair.student_shape[0] != pair.teacher_shape[0]:
                raise DoesNotFitError(
                    f"{name} compares channel by channel, but the student's {pair.student!r} has "
                    f"{pair.student_shape[0]} channels and the teacher's {pair.teacher!r} {pair.teacher_shape[0]}: "
                    "use networks of one width, or a method such as at or nst"
                )
        self.compute = partial(kdsvd_loss, **options)  # pyright: ignore[reportArgumentType]  # checked in build

    def forward(self, student: Features, teacher: Features, batch: Batch) -> Tensor:
        """Return the loss of one batch."""
        return self.compute(
            [student.maps[name] for name in self.student_map_names],
            [teacher.maps[name] for name in self.teacher_map_names],
        )
