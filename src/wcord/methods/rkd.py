"""Relational distillation as a term."""

from wcord.losses import rkd_loss
from wcord.methods.terms import EmbeddingTerm


class RKDTerm(EmbeddingTerm):
    """Distances and angles between embeddings; options are those of `losses.rkd_loss`."""

    loss = staticmethod(rkd_loss)
