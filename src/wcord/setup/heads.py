"""With which head a student starts: its weights' own, with the rows in the order of the data, or a new one."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from wcord.data.labels import match_classes
from wcord.models.classifier import classifier_paths, is_head_key
from wcord.models.network import Network, evaluating
from wcord.terminal import Reporter

"""Takes a line for the user."""


def fit_head(
    network: Network,
    theirs: Sequence[str],
    *,
    alike: bool = True,
    shape: Sequence[int],
    fresh: Callable[[], Mapping[str, Tensor]],
    say: Reporter,
) -> None:
    """Give a network that was loaded from weights, in place, the head that fits its classes, those of the data.

    Where the weights' classes are the same in another order, the head's rows are put into that of the data. Where they
    have other names, the head is a new one, since it answers other questions. Where one side has numbers for names,
    nothing is known, and the head stays.

    Args:
        network: with the weights' head, of as many classes.
        theirs: names of the weights' classes; empty where they are not known.
        alike: whether its logits answer as those of the weights did: of one class a sample, or of several labels.
        shape: of a sample of the data.
        fresh: gives the state of the same backbone before anything was loaded; its head is enough.
        say: takes a line on what becomes of the head.
    """
    own = network.classes
    if not theirs or not own or len(theirs) != len(own) or (alike and tuple(theirs) == own):
        return
    rows = match_classes(own, theirs) if alike else None
    if rows is not None and _reorder(network, rows, shape):
        say("the weights have the classes of the data in another order: their head is put into that of the data")
        return
    some = ", ".join(theirs[:3]) + (", …" if len(theirs) > 3 else "")
    if alike and rows is None and any(all(name.isdecimal() for name in names) for names in (theirs, own)):
        say(f"the weights' head, for the classes {some}, is kept in the order of their numbers")
        return
    new = fresh()
    backbone = network.backbone
    backbone.load_state_dict(backbone.state_dict() | {key: new[key] for key in head_keys(backbone)})
    why = f"are for other classes ({some})" if alike else "and the data differ in whether a sample has several labels"
    say(f"the weights {why}: the body is loaded, and the head is new")


def head_keys(backbone: nn.Module) -> list[str]:
    """Return the keys of the classifiers in a backbone's state."""
    paths = classifier_paths(backbone)
    return [key for key in backbone.state_dict() if is_head_key(key, paths)]


def _reorder(network: Network, rows: Tensor, shape: Sequence[int]) -> bool:
    """Put the rows of the head into another order; gives False, and leaves it, where that does not order the logits."""
    backbone = network.backbone
    samples = torch.rand(2, *shape, generator=torch.Generator().manual_seed(0))
    before, state = _logits(network, samples), {key: value.clone() for key, value in backbone.state_dict().items()}
    ordered = {key: state[key][rows] for key in head_keys(backbone) if state[key].shape[:1] == rows.shape}
    backbone.load_state_dict(state | ordered)
    if torch.allclose(_logits(network, samples), before[:, rows], atol=1e-5):
        return True
    backbone.load_state_dict(state)
    return False


def _logits(network: Network, samples: Tensor) -> Tensor:
    with evaluating(network):
        return network(samples).float()
