"""Flow of the solution procedure as a term of the preparation stage; the other terms train the student after it."""

from collections.abc import Iterable

from torch import Tensor, nn

from wcord.checks import DoesNotFitError, UsageError
from wcord.data.batch import Batch
from wcord.features import Features
from wcord.losses.fsp import fsp_loss, require_same_channels
from wcord.methods.maps import spatial_pairs
from wcord.methods.setting import Setting
from wcord.methods.term import Preparation, Stage, Term


class FSPTerm(Term):
    """FSP over stem and stages, in a stage before the main one.

    The student trains on it alone for 30 epochs, as in the CRD benchmark; in the main stage the term is 0 and its
    weight is of no effect.
    """

    loss_signature = fsp_loss
    preparation = Preparation(epochs=30, student=True)

    def __init__(self, name: str, setting: Setting) -> None:
        super().__init__()
        pairs = spatial_pairs(name, setting, "all")
        try:
            require_same_channels([p.student_shape[0] for p in pairs], [p.teacher_shape[0] for p in pairs])
        except UsageError as error:
            raise DoesNotFitError(str(error)) from None
        self.student_map_names = tuple(pair.student for pair in pairs)
        self.teacher_map_names = tuple(pair.teacher for pair in pairs)

    def forward(self, student: Features, teacher: Features, batch: Batch) -> Tensor:
        """Return 0: the other terms train the student in the main stage."""
        return student.logits.new_zeros(())

    def prepare(self, student: Features | None, teacher: Features, batch: Batch) -> Tensor:
        """Return the sum over neighboring maps."""
        assert student is not None
        return fsp_loss(
            [student.maps[name] for name in self.student_map_names],
            [teacher.maps[name] for name in self.teacher_map_names],
        )

    def stage_parameters(self, stage: Stage) -> Iterable[nn.Parameter]:
        """Return none: the term has no parameters."""
        return ()
