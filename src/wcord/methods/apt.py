"""APT as a term: a Swin teacher with prompts that adapt to a convolutional student, compared at learned centers."""

from dataclasses import replace
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn

from wcord.checks import DoesNotFitError, UsageError, require_bool, require_choice, require_number
from wcord.data.batch import Batch
from wcord.features import Features, capture, map_names
from wcord.losses.margin_softmax import margin_softmax_loss
from wcord.losses.urfm import (
    BUCKETS,
    CenterAttention,
    UnifiedMapping,
    distance_index,
    distances_from_middle,
    urfm_loss,
)
from wcord.methods.ce import CETerm
from wcord.methods.setting import Setting
from wcord.methods.term import Needs, TeacherTraining, Term
from wcord.models.network import Network, evaluating, unwrap
from wcord.models.prompts import PromptedSwin, require_swin
from wcord.numerics import FullPrecisionModule

LOCAL, FEATURES, ATTENTION = "reader.mapping", "reader.attention", "reader.attention.attention"
"""Modules of the adapted teacher whose outputs are the local features, what the attention makes of them, and itself."""


class TokenReader(FullPrecisionModule):
    """The tokens of a map, and prompts, at the learned centers of one side: `UnifiedMapping`, then `CenterAttention`.

    Args:
        dim: width of the features.
        size: height and width of the map.
        token_dim: channels of the map; default: `dim`.
        prompts: number of prompts beside the tokens of the map, which have a bucket of their own.
        centers: number of centers.
        heads: heads of the attention.
    """

    index: Tensor

    def __init__(
        self,
        dim: int,
        size: tuple[int, int],
        *,
        token_dim: int | None = None,
        prompts: int = 0,
        centers: int = 16,
        heads: int = 4,
    ) -> None:
        super().__init__()
        self.mapping = UnifiedMapping(dim, token_dim=token_dim, centers=centers, buckets=BUCKETS + bool(prompts))
        self.attention = CenterAttention(dim, heads=heads)
        index = torch.cat([distance_index(distances_from_middle(*size)), torch.full((prompts,), BUCKETS)])
        self.register_buffer("index", index, persistent=False)

    def forward(self, tokens: Tensor, prompts: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Return features, attention and local features of tokens B×N×token_dim and prompts B×t×token_dim."""
        local = self.mapping(tokens if prompts is None else torch.cat([tokens, prompts], dim=1), self.index)
        return *self.attention(local), local


class APTTerm(Term):
    r"""λ₁ L_attn + λ₂ L_feat between the student's last map and a Swin teacher, whose prompts learn from the student.

    Both sides gather their tokens at centers of their own (`losses.urfm_loss`). The student's side trains with the
    student; the prompts and the centers of the teacher minimize the same two losses and the cross-entropy of the
    teacher's logits through its frozen classifier. The teacher must have been made with `adapt_teacher`.

    A reconstruction of APT and URFM (Zhao, Zhu, He, Zhang and Lei, ACM MM 2023, arXiv 2306.14662), which have no public
    code: what is our reading and our choice stands in docs/systems.md.

    Args:
        name: the method.
        setting: with the adapted teacher.
        recognition: ce: the student learns the classes by cross-entropy alone; margin: its embedding also by margin
            softmax (`losses.margin_softmax_loss`), with class weights that are dropped after training.
        scale: s of the margin softmax.
        margin: m of the margin softmax.
        teacher_lr: first learning rate of what trains in the teacher, by AdamW.
        **options: λ₁ `attention_weight` and λ₂ `feature_weight` of `losses.urfm_loss`.
    """

    needs = Needs(same_classes=True, labels=True)
    loss_signature = urfm_loss
    diagnostics = (
        "student_center_variance", "teacher_center_variance", "student_feature_variance", "teacher_feature_variance"
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        setting: Setting,
        *,
        recognition: str = "ce",
        scale: float = 64.0,
        margin: float = 0.5,
        teacher_lr: float = 1e-3,
        **options: float,
    ) -> None:
        super().__init__()
        teacher = _adapted(name, setting)
        require_choice("recognition", recognition, ("ce", "margin"))
        require_number("teacher_lr", teacher_lr, low=0)
        self.map, shape = _last_map(name, setting)
        self.student_map_names, self.teacher_map_names = (self.map,), (FEATURES, ATTENTION, LOCAL)
        reader = teacher.reader
        assert isinstance(reader, TokenReader)
        centers, dim = reader.mapping.centers.shape
        self.reader = TokenReader(
            dim, (shape[1], shape[2]), token_dim=shape[0], centers=centers, heads=reader.attention.heads
        )
        self.compare = partial(urfm_loss, **options)
        self.recognition = CETerm("ce", setting)
        self.needs = replace(self.needs, whole_batch=self.recognition.needs.whole_batch)
        self.margin = partial(margin_softmax_loss, scale=scale, margin=margin)
        self.classes = None
        if recognition == "margin":
            self.classes = nn.Parameter(torch.randn(setting.student_classes, setting.student_dim))
            self.needs = replace(self.needs, class_number=True, exclusive=True)
        if any(parameter.requires_grad for parameter in teacher.parameters()):
            self.teacher_training = TeacherTraining(lr=teacher_lr)

    def forward(self, student: Features, teacher: Features, batch: Batch) -> Tensor:
        """Return the loss of the student and of its side's centers, and store how far samples differ at the centers."""
        features, attention, local = self.reader(student.maps[self.map].flatten(2).mT)
        others = [teacher.maps[name] for name in self.teacher_map_names]
        watched = (local, others[2], features, others[0])
        self.measured = dict(zip(self.diagnostics, map(_variance, watched), strict=True))
        loss = self.compare((features, attention), others[:2])
        if self.classes is not None:
            loss = loss + self.margin(student.embedding, self.classes, batch.target)
        return loss

    def teach(self, student: Features, teacher: Features, batch: Batch) -> Tensor:
        """Return the loss of the prompts and of the teacher's centers; nothing of the student's side moves by it."""
        with torch.no_grad():
            features, attention, _ = self.reader(student.maps[self.map].flatten(2).mT)
        own = [teacher.maps[name] for name in self.teacher_map_names[:2]]
        return self.compare(own, (features, attention)) + self.recognition(teacher, student, batch)


def _variance(local: Tensor) -> Tensor:
    """Return the variance over the batch, averaged over centers and channels: 0 where all samples have the same."""
    return local.detach().var(dim=0, correction=0).mean()


def adapt_teacher(
    teacher: nn.Module,
    student: nn.Module,
    sample: Tensor | None,
    teacher_sample: Tensor | None,
    teacher_maps: tuple[str, ...],
    *,
    prompts: int = 8,
    centers: int = 16,
    heads: int = 4,
    train_teacher_urfm: bool = True,
) -> nn.Module:
    """Return a Swin teacher with prompts in each stage and learned centers that read its last tokens.

    Args:
        teacher: a Swin transformer of timm, bare or in a `Network`, frozen; it is changed.
        student: not used.
        sample: not used.
        teacher_sample: a batch of the teacher's inputs; default: pictures of the size that it was built for.
        teacher_maps: not used.
        prompts: number of prompts in each stage.
        centers: number of centers of each side.
        heads: heads of the attention over the centers.
        train_teacher_urfm: whether the teacher's centers and attention train; otherwise they stay as they start.

    Raises:
        DoesNotFitError: another network, or maps that do not divide into windows.
    """
    require_bool("train_teacher_urfm", train_teacher_urfm)
    require_number("prompts", prompts, low=0, whole=True)
    swin = cast(Any, require_swin(teacher))
    size = _size_of_last_map(teacher, swin, teacher_sample)
    reader = TokenReader(swin.num_features, size, prompts=prompts, centers=centers, heads=heads)
    adapted = PromptedSwin(swin, prompts, reader.requires_grad_(train_teacher_urfm))
    if not isinstance(teacher, Network):
        return adapted
    teacher.backbone = adapted
    if teacher.embedding is not None:
        teacher.embedding = f"network.{teacher.embedding}"
    return teacher


def _size_of_last_map(teacher: nn.Module, swin: Any, sample: Tensor | None) -> tuple[int, int]:
    """Return height and width of the last map, of which there must be more than one cell."""
    if sample is None:
        height, width = swin.layers[-1].output_resolution
    else:
        last = map_names(teacher)[-1]
        device = next(swin.parameters()).device
        with evaluating(teacher), capture(teacher, [last]) as tap:
            height, width = tap(sample.to(device)).maps[last].shape[2:]
    _require_cells("teacher", height, width)
    return height, width


def _require_cells(role: str, height: int, width: int) -> None:
    if height * width < 2:
        raise DoesNotFitError(
            f"learned centers tell the places of a map apart, but the {role}'s last map has one cell: use larger "
            "pictures, or a network with fewer stages"
        )


def _last_map(name: str, setting: Setting) -> tuple[str, tuple[int, ...]]:
    """Return the student's last map that has height and width, and its shape."""
    spatial = [(map_name, shape) for map_name, shape in setting.student_maps.items() if len(shape) == 3]
    if not spatial:
        raise DoesNotFitError(
            f"{name} reads the student's last map of channels × height × width, but it states none: name its modules "
            "from stem to last with --student-maps, or use a method on embeddings or logits"
        )
    _require_cells("student", *spatial[-1][1][1:])
    return spatial[-1]


def _adapted(name: str, setting: Setting) -> PromptedSwin:
    teacher = None if setting.teacher is None else unwrap(setting.teacher)
    if not isinstance(teacher, PromptedSwin):
        raise UsageError(
            f"{name} trains prompts in a Swin teacher, received {'none' if teacher is None else type(teacher).__name__}"
            ": make it with adapt_teacher(method, teacher, student)"
        )
    return teacher
