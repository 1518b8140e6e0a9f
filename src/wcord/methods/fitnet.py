"""FitNet as a term: a regressor brings a hidden map of the student to the teacher's shape."""

from torch import Tensor, nn

from wcord.checks import DoesNotFitError, require_number
from wcord.data.batch import Batch
from wcord.features import Features
from wcord.losses import fitnet_loss
from wcord.methods.maps import map_pairs
from wcord.methods.setting import Setting, Shape
from wcord.methods.term import Needs, Term
from wcord.numerics import autocast_off, in_precision_of

HINT = 2
"""The map that the CRD benchmark regresses, counted from the stem, which is 0."""


class FitNetTerm(Term):
    """Squared error of one regressed map; option `hint` says which, counted from the stem."""

    needs = Needs(min_batch=2, whole_batch=True)
    loss_signature = fitnet_loss

    def __init__(self, name: str, setting: Setting, *, hint: int = HINT) -> None:
        super().__init__()
        pairs = map_pairs(name, setting, "all")
        require_number("hint", hint, low=0, high=len(pairs) - 1, whole=True)
        self.pair = pairs[hint]
        self.student_map_names, self.teacher_map_names = (self.pair.student,), (self.pair.teacher,)
        self.regressor = regressor(name, self.pair.student_shape, self.pair.teacher_shape)

    def forward(self, student: Features, teacher: Features, batch: Batch) -> Tensor:
        """Return the loss of one batch."""
        student_map = student.maps[self.pair.student]
        with autocast_off(student_map):
            regressed = self.regressor(in_precision_of(self, student_map))
        return fitnet_loss(regressed, teacher.maps[self.pair.teacher])


def regressor(name: str, student: Shape, teacher: Shape) -> nn.Sequential:
    """Return the CRD benchmark's regressor between two maps C×H×W: a convolution that fits the sizes, BN, ReLU.

    Raises:
        DoesNotFitError: for maps that are not images, or a student's map that is smaller by another factor than two.
    """
    if len(student) != 3 or len(teacher) != 3:
        raise DoesNotFitError(
            f"{name} regresses maps C×H×W, received shapes {student} and {teacher}: use another method"
        )
    (channels, height, width), (out, out_height, out_width) = student, teacher
    if (height, width) == (2 * out_height, 2 * out_width):
        fit: nn.Module = nn.Conv2d(channels, out, 3, stride=2, padding=1)
    elif (2 * height, 2 * width) == (out_height, out_width):
        fit = nn.ConvTranspose2d(channels, out, 4, stride=2, padding=1)
    elif height >= out_height and width >= out_width:
        fit = nn.Conv2d(channels, out, (1 + height - out_height, 1 + width - out_width))
    else:
        raise DoesNotFitError(
            f"{name} cannot bring the student's map of {height}×{width} to the teacher's {out_height}×{out_width}: "
            "compare other maps, or use a method that pools them, such as at"
        )
    return nn.Sequential(fit, nn.BatchNorm2d(out), nn.ReLU())
