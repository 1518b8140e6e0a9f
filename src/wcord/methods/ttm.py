"""Transformed teacher matching as terms, plain (ttm) and weighted (wttm)."""

from wcord.losses.ttm import ttm_loss, wttm_loss
from wcord.methods.terms import LogitsTerm


class TTMTerm(LogitsTerm):
    """Divergence from the power-transformed teacher; options are those of `losses.ttm_loss`."""

    loss = staticmethod(ttm_loss)


class WTTMTerm(LogitsTerm):
    """The same, each sample weighed by the teacher's power sum; options are those of `losses.wttm_loss`."""

    loss = staticmethod(wttm_loss)
