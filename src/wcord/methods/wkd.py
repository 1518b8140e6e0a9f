"""WKD as terms: transport of predictions over classes (wkd-l) and Gaussians of a map's positions (wkd-f)."""

from typing import Any, cast

from torch import Tensor, nn

from wcord.checks import DoesNotFitError, UsageError
from wcord.data.batch import Batch
from wcord.features import Features, capture
from wcord.losses.wkd import classifier_cost, wkd_feature_loss, wkd_logit_loss
from wcord.methods.course import CosineDecay
from wcord.methods.maps import spatial_pairs
from wcord.methods.setting import Setting
from wcord.methods.term import Needs, Term, refuse_merged
from wcord.numerics import autocast_off, in_precision_of

DECAY_FROM = 150 / 240
"""The authors' weights for CIFAR-100 fall from epoch 150 of 240 on."""


class WKDLogitTerm(Term):
    """WKD-L between the logits, with the costs between classes that the teacher's classifier implies.

    The classifier is the module whose input is the embedding (see `features.capture`), read once, when the term is
    built. Only the transport part of the loss decays (`course.CosineDecay`), as in the authors' code; their
    configurations for ImageNet let it decay from the start (`decay_from=0`).

    Options are those of `losses.wkd_logit_loss`, and:

    Args:
        name: of the term.
        setting: with the teacher, and the steps of the training.
        similarity: "cosine" or "cka", of `losses.classifier_cost`.
        sharpness: likewise.
        decay_from: share of the training after which the weight of the transport falls; 1 for no decay.

    Raises:
        UsageError: if the setting has no teacher, or its classifier does not have one row of weights per class.
    """

    needs = Needs(same_classes=True, class_number=True, exclusive=True)
    loss_signature = wkd_logit_loss

    def __init__(
        self,
        name: str,
        setting: Setting,
        *,
        similarity: str = "cosine",
        sharpness: float = 1.0,
        decay_from: float = DECAY_FROM,
        **options: object,
    ) -> None:
        super().__init__()
        self.fade = CosineDecay(decay_from, setting)
        self.options: dict[str, Any] = dict(options)
        refuse_merged(name, setting.teacher)
        weight = _classifier_weight(name, setting)
        # The teacher is available whenever the term is built, so the cost need not be in checkpoints.
        cost = classifier_cost(weight, similarity=similarity, sharpness=sharpness)
        self.register_buffer("class_cost", cost, persistent=False)

    def forward(self, student: Features, teacher: Features, batch: Batch) -> Tensor:
        """Return the loss of one batch."""
        logits, cost = (student.logits, teacher.logits), cast(Tensor, self.class_cost)
        whole = wkd_logit_loss(*logits, cost, batch.target, **self.options)
        if self.fade.progress is None:
            return whole
        rest = wkd_logit_loss(*logits, cost, batch.target, **{**self.options, "transport_weight": 0.0})
        return rest + self.fade() * (whole - rest)


def _classifier_weight(name: str, setting: Setting) -> Tensor:
    """Return the rows of weights of the teacher's classifier, C×D."""
    if setting.teacher is None:
        raise UsageError(f"{name} reads the teacher's classifier: give the teacher itself (see `methods.observe`)")
    with capture(setting.teacher) as tap:
        path = tap.heads[0]
        classifier = tap.network.get_submodule(path)
    weight = getattr(classifier, "weight", None)
    if not isinstance(weight, Tensor) or weight.numel() == 0 or weight.shape[0] != setting.teacher_classes:
        shape = tuple(weight.shape) if isinstance(weight, Tensor) else "none"
        raise DoesNotFitError(
            f"{name} takes the costs between classes from the rows of the teacher's classifier, but {path!r} "
            f"({type(classifier).__name__}) has weights of shape {shape} for {setting.teacher_classes} classes: use a "
            "teacher that ends in a linear layer, or call wkd_logit_loss with your own class_cost"
        )
    return weight.detach().cpu().flatten(1)


class WKDFeatureTerm(Term):
    """WKD-F between the last maps, of which the student's is projected to the teacher's channels.

    The projector is a 1×1 convolution, BN and ReLU, trained with the student. The authors' for CIFAR-100 is the same
    if the maps have one size; otherwise theirs also resizes, which a comparison of statistics over positions does
    not need. For ImageNet theirs is a bottleneck of three convolutions.

    The whole term decays (`course.CosineDecay`). Options are those of `losses.wkd_feature_loss`, and:

    Args:
        name: of the term.
        setting: with the maps of both networks, and the steps of the training.
        decay_from: share of the training after which the weight falls; 1 for no decay.
    """

    needs = Needs(whole_batch=True)
    loss_signature = wkd_feature_loss

    def __init__(self, name: str, setting: Setting, *, decay_from: float = DECAY_FROM, **options: object) -> None:
        super().__init__()
        self.fade = CosineDecay(decay_from, setting)
        self.options: dict[str, Any] = dict(options)
        (pair,) = spatial_pairs(name, setting, "last")
        self.student_map_names, self.teacher_map_names = (pair.student,), (pair.teacher,)
        channels = pair.teacher_shape[0]
        self.projector = nn.Sequential(
            nn.Conv2d(pair.student_shape[0], channels, 1), nn.BatchNorm2d(channels), nn.ReLU()
        )

    def forward(self, student: Features, teacher: Features, batch: Batch) -> Tensor:
        """Return the loss of one batch."""
        student_map = student.maps[self.student_map_names[0]]
        with autocast_off(student_map):
            projected = self.projector(in_precision_of(self, student_map))
        return self.fade() * wkd_feature_loss(projected, teacher.maps[self.teacher_map_names[0]], **self.options)
