"""The head with which a student starts: that of its weights, reordered for the data, or a new one."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from wcord.data.labels import match_classes
from wcord.models.classifier import classifier_paths, is_head_key
from wcord.models.network import Network, evaluating
from wcord.terminal import Reporter


def fit_head(
    network: Network,
    weight_classes: Sequence[str],
    *,
    same_kind: bool = True,
    shape: Sequence[int],
    fresh: Callable[[], Mapping[str, Tensor]],
    say: Reporter,
) -> None:
    """Fit the head of a network that was loaded from weights, in place, to the classes of the data.

    If the weights have the same classes in another order, the head's rows are reordered. If the names differ, the head
    is new. If one side has numbers instead of names, nothing is known, and the head stays.

    Args:
        network: network with the weights' head and the classes of the data.
        weight_classes: names of the weights' classes; empty if unknown.
        same_kind: whether data and weights agree on one class or several labels a sample.
        shape: shape of a sample of the data.
        fresh: returns the state of the same backbone before loading; its head is enough.
        say: takes a line on the head.
    """
    classes = network.classes
    if not weight_classes or len(weight_classes) != len(classes) or (same_kind and tuple(weight_classes) == classes):
        return
    rows = match_classes(classes, weight_classes) if same_kind else None
    if rows is not None and _reorder(network, rows, shape):
        say("the weights have the classes of the data in another order: their head is put into that of the data")
        return
    some = ", ".join(weight_classes[:3]) + (", …" if len(weight_classes) > 3 else "")
    if same_kind and rows is None and any(all(map(str.isdecimal, names)) for names in (weight_classes, classes)):
        say(f"the weights' head, for the classes {some}, is kept in the order of their numbers")
        return
    new = fresh()
    backbone = network.backbone
    backbone.load_state_dict(backbone.state_dict() | {key: new[key] for key in head_keys(backbone)})
    why = "and the data differ in whether a sample has several labels"
    if same_kind:
        why = f"are for other classes ({some})"
    say(f"the weights {why}: the body is loaded, and the head is new")


def head_keys(backbone: nn.Module) -> list[str]:
    """Return the keys of the classifiers in a backbone's state."""
    paths = classifier_paths(backbone)
    return [key for key in backbone.state_dict() if is_head_key(key, paths)]


def _reorder(network: Network, rows: Tensor, shape: Sequence[int]) -> bool:
    """Put the rows of the head into another order; return False, and leave it, if that does not reorder the logits."""
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
