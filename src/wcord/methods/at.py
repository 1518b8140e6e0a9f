"""Attention transfer as a term."""

from wcord.losses import at_loss
from wcord.methods.terms import MapsTerm


class ATTerm(MapsTerm):
    """Attention of every stage; options are those of `losses.at_loss`."""

    loss = staticmethod(at_loss)
