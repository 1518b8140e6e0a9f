"""Knowledge review as a term: stages and embedding of the student, fused from the deepest up."""

from torch import Tensor

from wcord.checks import require_bool
from wcord.data.batch import Batch
from wcord.features import Features, preactivation
from wcord.losses.reviewkd import ReviewKDLoss
from wcord.methods.course import WarmUp
from wcord.methods.maps import spatial_pairs
from wcord.methods.setting import Setting
from wcord.methods.term import Needs, Term


class ReviewKDTerm(Term):
    """ReviewKD between the stages and the embedding: the student's after the ReLU, the teacher's before it.

    Its weight rises from 0 over the first steps, in the authors' code over 20 epochs of 240; see `course.WarmUp`.

    The authors' weight differs from pair to pair: 0.6 for resnet56 → resnet20, 1 for resnet110 → resnet32, 8 for
    resnet32x4 → ShuffleV2, and 5 for the others, which is also mdistiller's for resnet32x4 → resnet8x4.

    Options are those of `losses.ReviewKDLoss`, and:

    Args:
        name: of the term.
        setting: with the maps of both networks, and the steps of the training.
        warmup: share of the training over which the weight rises; 0 for no warm-up.
        student_preactivation: read the student's stages before the ReLU too, as mdistiller does on ImageNet.
    """

    needs = Needs(min_batch=2, whole_batch=True)
    loss_signature = ReviewKDLoss

    def __init__(
        self,
        name: str,
        setting: Setting,
        *,
        warmup: float = 20 / 240,
        student_preactivation: bool = False,
        **options: object,
    ) -> None:
        super().__init__()
        require_bool("student_preactivation", student_preactivation)
        pairs = spatial_pairs(name, setting, "stages")
        names = tuple(pair.student for pair in pairs)
        self.student_map_names = tuple(map(preactivation, names)) if student_preactivation else names
        self.teacher_map_names = tuple(preactivation(pair.teacher) for pair in pairs)
        self.loss = ReviewKDLoss(
            [*(pair.student_shape[0] for pair in pairs), setting.student_dim],
            [*(pair.teacher_shape[0] for pair in pairs), setting.teacher_dim],
            **options,  # pyright: ignore[reportArgumentType]  # names are checked against the signature in build
        )
        self.rise = WarmUp(warmup, setting)

    def forward(self, student: Features, teacher: Features, batch: Batch) -> Tensor:
        """Return the loss times its warm-up weight."""
        return self.rise() * self.loss(
            [*(student.maps[name] for name in self.student_map_names), _as_map(student.embedding)],
            [*(teacher.maps[name] for name in self.teacher_map_names), _as_map(teacher.embedding)],
        )


def _as_map(embedding: Tensor) -> Tensor:
    return embedding[:, :, None, None]
