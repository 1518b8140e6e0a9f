"""SimKD as a term: the student's last map, projected, is trained to equal the teacher's, whose classifier it reuses."""

from torch import Tensor, nn

from wcord.checks import UsageError
from wcord.data.batch import Batch
from wcord.features import Features, unwrap
from wcord.losses.fitnet import fitnet_loss
from wcord.losses.maps import pool_to_smaller
from wcord.methods.setting import Setting
from wcord.methods.term import Needs, Term, refuse_merged
from wcord.models.network import Network
from wcord.models.simkd import SimKDStudent, find_tail, reuse_classifier
from wcord.numerics import full_precision


class SimKDTerm(Term):
    """Mean squared error between the projected map and the map that the teacher averages, the only loss of SimKD.

    The larger of the two maps is average-pooled to the smaller. The student must have been made with `adapt_student`:
    what is trained, and shipped, is not the network of that name. The labels are not used: in the
    authors' code cross-entropy has the weight 0. Chen, Mei, Zhang, Wang, Feng and Chen, CVPR 2022, arXiv 2203.14001.
    """

    needs = Needs(same_classes=True, exclusive=True)

    def __init__(self, name: str, setting: Setting) -> None:
        super().__init__()
        student = None if setting.student is None else unwrap(setting.student)
        if not isinstance(student, SimKDStudent):
            raise UsageError(
                f"{name} trains a student that reuses the teacher's classifier, received "
                f"{'none' if student is None else type(student).__name__}: make it with adapt_student(student, teacher)"
            )
        self.student_map_names = (student.projected_map,)
        self.teacher_map_names = (student.teacher_map,)

    def forward(self, student: Features, teacher: Features, batch: Batch) -> Tensor:
        """Return the loss of one batch."""
        projected, target = student.maps[self.student_map_names[0]], teacher.maps[self.teacher_map_names[0]]
        return fitnet_loss(*pool_to_smaller(full_precision(projected), full_precision(target)))


def adapt_student(
    student: nn.Module,
    teacher: nn.Module,
    sample: Tensor | None = None,
    *,
    teacher_sample: Tensor | None = None,
    factor: int = 2,
) -> nn.Module:
    """Return the network that SimKD trains: the student's trunk, a projector, and the teacher's classifier, frozen.

    Neither network is changed, except that a student that was adapted before is given this teacher's classifier and
    returned. A `Network` keeps its preprocessing.

    Args:
        student: any network whose embedding is the average of its last map, by a pooling that is a module.
        teacher: a network with the student's classes.
        sample: a batch of the student's inputs, whose shape counts; default: images of 32×32 pixels.
        teacher_sample: a batch of the teacher's inputs; default: the student's.
        factor: how much narrower than the teacher's map the projector is inside.

    Raises:
        UsageError: if a network does not end in pooling and a linear layer, or the classifiers differ in shape.

    >>> import torch
    >>> from wcord.models.create import create_model
    >>> adapted = adapt_student(create_model("resnet8"), create_model("vgg8"))
    >>> adapted(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 100])
    """
    refuse_merged("simkd", teacher)
    if isinstance(unwrap(student), SimKDStudent):
        return _given_classifier(student, teacher, sample if teacher_sample is None else teacher_sample)
    adapted = reuse_classifier(student, teacher, sample=sample, teacher_sample=teacher_sample, factor=factor)
    if isinstance(student, Network):
        return Network(adapted, student.preprocess, student.classes)
    return adapted


def _given_classifier(student: nn.Module, teacher: nn.Module, sample: Tensor | None) -> nn.Module:
    adapted = unwrap(student)
    assert isinstance(adapted, SimKDStudent)
    tail = find_tail(teacher, "teacher", sample)
    classifier = unwrap(teacher).get_submodule(tail.classifier)
    assert isinstance(classifier, nn.Linear)
    if classifier.weight.shape != adapted.classifier.weight.shape:
        raise UsageError(
            f"the student was made for a classifier of {tuple(adapted.classifier.weight.shape)} weights, "
            f"received a teacher's of {tuple(classifier.weight.shape)}: start from a student that was not adapted"
        )
    adapted.classifier.load_state_dict(classifier.state_dict())
    adapted.teacher_map = f"{tail.pooling}:in"
    return student
