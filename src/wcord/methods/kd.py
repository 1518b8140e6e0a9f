"""Distillation of softened logits, plain (kd) and standardised (lskd)."""

from wcord.losses import kd_loss
from wcord.methods.terms import LogitsTerm


class KDTerm(LogitsTerm):
    """KL divergence between softened logits; options are those of `losses.kd_loss`."""

    loss = staticmethod(kd_loss)
