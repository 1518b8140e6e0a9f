"""LAKD as a term: modules of the student that train by losses of their own. A reconstruction; see `LAKDTerm`."""

from dataclasses import replace
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wcord.checks import UsageError, require_bool, require_choice, require_fraction, require_number
from wcord.data.batch import Batch
from wcord.features import Features
from wcord.losses import fitnet_loss
from wcord.losses.maps import pool_to_smaller
from wcord.methods.ce import CETerm
from wcord.methods.course import InTurn
from wcord.methods.maps import MapPair, spatial_pairs
from wcord.methods.setting import Setting
from wcord.methods.term import Term
from wcord.numerics import autocast_off, full_precision, in_precision_of, unit_rows

Order = Literal["together", "deep_last"]
"""together: all modules train from the start; deep_last: module l from the share (l − 1)/L of the training on."""


class LAKDTerm(Term):
    r"""Losses of the student's modules, each of which the gradient does not leave: Σ_l [β L_f^l + (1 − α) L_att^l].

    L_f^l = mean_e (W_l s_e − t_e)²,  L_att^l = 1/(B·h·w) Σ_i ‖ n(a(s_i)) − n(a(t_i)) ‖²,  a_hw(x) = 1/C Σ_c x_chw²,

    with s and t the maps B×C×H×W at the end of module l in student and teacher, W_l a 1×1 convolution where their
    channels differ, and n a row at unit length; the larger map is average-pooled to the h×w of the smaller one. L_att
    is `losses.at_loss` with `numerics.unit_rows` for n, which is smooth where a map is dead.

    The modules l = 1 … L are the student's stages; the stem belongs to the first and the classifier to the last. The
    last module also has the factor α of the cross-entropy, which the sum adds: α is the option `alpha` for both.

    This is a reconstruction of LAKD (arXiv 2408.11478), whose authors published no code. The paper has modules with
    gradients of their own, a feature loss in each and α L_h + (1 − α) L_att + β L_f. The map of activations in L_att,
    the values of α and β, the number of modules and W_l are our reading.

    Args:
        name: of the term.
        setting: with the maps of both networks.
        alpha: α, from 0 to 1; also the factor of the cross-entropy, unless `ce.weight` is set.
        beta: β.
        cut: whether the gradient stops between modules; if not, the same sum trains them jointly.
        heads: whether each module but the last has a linear classifier on its averaged map, with cross-entropy times α.
        order: whether all modules train from the start, or deeper ones later. Until a module trains its own losses
            count nothing, and no gradient reaches the last one through logits or embedding.

    Raises:
        DoesNotFitError: if a network states no maps, or maps of tokens.
        UsageError: for `order="deep_last"` in a training whose length is not known.
    """

    diagnostics = ("lakd_feature", "lakd_attention")

    def __init__(
        self,
        name: str,
        setting: Setting,
        *,
        alpha: float = 0.5,
        beta: float = 1.0,
        cut: bool = True,
        heads: bool = False,
        order: Order = "together",
    ) -> None:
        super().__init__()
        require_fraction("alpha", alpha)
        require_number("beta", beta, low=0)
        require_bool("cut", cut)
        require_bool("heads", heads)
        require_choice("order", order, ("together", "deep_last"))
        self.alpha, self.beta = alpha, beta
        self.pairs = spatial_pairs(name, setting)
        self.student_map_names = tuple(pair.student for pair in self.pairs)
        self.teacher_map_names = tuple(pair.teacher for pair in self.pairs)
        self.cuts = self.student_map_names[:-1] if cut else ()
        self.adapters = nn.ModuleList(_adapter(pair) for pair in self.pairs)
        widths = [pair.student_shape[0] for pair in self.pairs[:-1]] if heads else []
        self.heads = nn.ModuleList(nn.Linear(width, setting.student_classes) for width in widths)
        self.cross_entropy = CETerm(name, setting) if heads else None
        if self.cross_entropy is not None:
            self.needs = replace(self.needs, labels=True, whole_batch=self.cross_entropy.needs.whole_batch)
        self.turns = _turns(len(self.pairs), setting) if order == "deep_last" else None

    def forward(self, student: Features, teacher: Features, batch: Batch) -> Tensor:
        """Return the sum over the modules that train."""
        losses = self.module_losses(student, teacher, batch)
        return losses.sum() if self.turns is None else (losses * self.turns()).sum()

    def module_losses(self, student: Features, teacher: Features, batch: Batch) -> Tensor:
        """Return the loss of each module, L, without the cross-entropy of the logits."""
        feature, attention = [], []
        for pair, adapter in zip(self.pairs, self.adapters, strict=True):
            student_map, teacher_map = student.maps[pair.student], teacher.maps[pair.teacher]
            with autocast_off(student_map):
                adapted = adapter(in_precision_of(adapter, student_map))
                feature.append(fitnet_loss(*pool_to_smaller(adapted, full_precision(teacher_map))))
            attention.append(_attention_loss(student_map, teacher_map))
        features, attentions = torch.stack(feature), torch.stack(attention)
        self.measured = {"lakd_feature": features.detach().sum(), "lakd_attention": attentions.detach().sum()}
        losses = self.beta * features + (1 - self.alpha) * attentions
        answers = [*self._answers(student, batch), losses.new_zeros(())]
        return losses + self.alpha * torch.stack(answers) if self.heads else losses

    def _answers(self, student: Features, batch: Batch) -> list[Tensor]:
        """Return the cross-entropy of each head; none without heads."""
        losses = []
        for pair, head in zip(self.pairs, self.heads, strict=False):
            student_map = student.maps[pair.student]
            with autocast_off(student_map):
                logits = head(in_precision_of(head, student_map).mean(dim=(2, 3)))
            assert self.cross_entropy is not None
            answer = replace(student, logits=logits)
            losses.append(self.cross_entropy(answer, answer, batch))
        return losses

    def gate(self, student: Features) -> None:
        """Let no gradient into the last module through logits and embedding before its turn."""
        if self.turns is None:
            return
        last = self.turns.open()[-1]
        for output in (student.logits, student.embedding):
            if output.requires_grad:
                output.register_hook(lambda gradient: gradient * last)


def _attention_loss(student_map: Tensor, teacher_map: Tensor) -> Tensor:
    """Return L_att: the mean squared difference of both maps' energies, each of unit length."""
    with autocast_off(student_map):
        student, teacher = pool_to_smaller(full_precision(student_map), full_precision(teacher_map.detach()))
        return F.mse_loss(_energy(student), _energy(teacher).to(student.dtype))


def _energy(feature_map: Tensor) -> Tensor:
    return unit_rows(feature_map.square().mean(dim=1).flatten(1))


def _adapter(pair: MapPair) -> nn.Module:
    """Return W_l, which brings the student's map to the teacher's channels."""
    channels, out = pair.student_shape[0], pair.teacher_shape[0]
    return nn.Identity() if channels == out else nn.Conv2d(channels, out, kernel_size=1, bias=False)


def _turns(modules: int, setting: Setting) -> InTurn:
    if setting.total_steps is None:
        raise UsageError(
            "order=deep_last starts the modules at shares of the training, whose length is not known: give "
            "total_steps, its number of batches, or order=together"
        )
    return InTurn(modules, setting.total_steps)
