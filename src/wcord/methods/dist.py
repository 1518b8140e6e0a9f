"""DIST as a term."""

from wcord.losses.dist import dist_loss
from wcord.methods.term import Needs
from wcord.methods.terms import LogitsTerm


class DISTTerm(LogitsTerm):
    """Relations between classes and between samples; options are those of `losses.dist_loss`."""

    needs = Needs(same_classes=True, exclusive=True, min_batch=2, whole_batch=True)
    loss = staticmethod(dist_loss)
