"""Similarity-preserving distillation as a term."""

from wcord.losses import sp_loss
from wcord.methods.term import Needs
from wcord.methods.terms import MapsTerm


class SPTerm(MapsTerm):
    """Similarities of the batch in the deepest map; options are those of `losses.sp_loss`."""

    needs = Needs(min_batch=2, whole_batch=True)
    loss = staticmethod(sp_loss)
    which = "last"
    spatial = False
