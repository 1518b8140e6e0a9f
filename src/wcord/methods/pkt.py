"""Probabilistic knowledge transfer as a term."""

from wcord.losses import pkt_loss
from wcord.methods.terms import EmbeddingTerm


class PKTTerm(EmbeddingTerm):
    """Similarities between embeddings as probabilities; options are those of `losses.pkt_loss`."""

    loss = staticmethod(pkt_loss)
