"""ICKD as a term: the student's last map embedded into the teacher's channels, and their products compared."""

from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from wcord.checks import DoesNotFitError
from wcord.data.batch import Batch
from wcord.features import Features
from wcord.losses.ickd import ickd_loss, require_cells
from wcord.methods.maps import spatial_pairs
from wcord.methods.setting import Setting
from wcord.methods.term import Needs, Term
from wcord.numerics import autocast_off, in_precision_of


class ICKDTerm(Term):
    """ICKD between the last maps; options are those of `losses.ickd_loss`.

    The embedding is a 1×1 convolution without bias and BN, also where both networks have as many channels. It trains
    with the student. The authors also build an embedding on the teacher's side, which their loss does not use; it is
    left out here. For ImageNet the authors use a 3×3 convolution.
    """

    needs = Needs(whole_batch=True)
    loss_signature = ickd_loss

    def __init__(self, name: str, setting: Setting, **options: object) -> None:
        super().__init__()
        self.options: dict[str, Any] = dict(options)
        (pair,) = spatial_pairs(name, setting, "last")
        self.student_map_names, self.teacher_map_names = (pair.student,), (pair.teacher,)
        channels, *size = pair.teacher_shape
        if channels == 1 and options.get("rows", True):
            raise DoesNotFitError(
                f"{name} compares the channels of a map with each other, and {pair.teacher!r} of the teacher has only "
                "one, whose loss is always 0: name another map with --teacher-maps, or use another method"
            )
        require_cells(options.get("cells", (1, 1)), pair.student_shape[1:], size)
        if pair.student_shape[1:] == (1, 1):
            self.needs = replace(self.needs, min_batch=2)  # BN needs two values of a channel
        self.embedding = nn.Sequential(
            nn.Conv2d(pair.student_shape[0], channels, 1, bias=False), nn.BatchNorm2d(channels)
        )

    def forward(self, student: Features, teacher: Features, batch: Batch) -> Tensor:
        """Return the loss of one batch."""
        student_map = student.maps[self.student_map_names[0]]
        with autocast_off(student_map):
            embedded = self.embedding(in_precision_of(self, student_map))
        return ickd_loss(embedded, teacher.maps[self.teacher_map_names[0]], **self.options)
