"""Neuron selectivity transfer as a term."""

from wcord.losses import nst_loss
from wcord.methods.terms import MapsTerm


class NSTTerm(MapsTerm):
    """Distribution of the channels of every stage; options are those of `losses.nst_loss`."""

    loss = staticmethod(nst_loss)
