"""The similarities of a rotated batch's turned views to its originals, from the features of one network."""

from torch import Tensor, nn

from wcord.data.batch import Batch
from wcord.features import Features
from wcord.losses.turned import TURNED, turned_similarity
from wcord.numerics import autocast_off, in_precision_of


def similarity_of(features: Features, batch: Batch, head: nn.Module | None = None, *, detached: bool = False) -> Tensor:
    """Return the similarities of a rotated batch's turned views to its originals, 3B×B.

    Args:
        features: of one network.
        batch: the rotated batch.
        head: applied to the embeddings first; None compares these themselves.
        detached: cut the gradient into the network.
    """
    embedding = features.embedding.detach() if detached else features.embedding
    with autocast_off(embedding):
        if head is not None:
            embedding = head(in_precision_of(head, embedding))
        rows = batch.upright_rows
        return turned_similarity(embedding[:rows], embedding[rows:].unflatten(0, (TURNED, rows)))
