"""Which of the tensors in a file are a network's: under which place and prefix they lie, and what lies beside them."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from torch import Tensor

from wcord.checks import UsageError

INSERTED = ("_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.", "_forward_module.")
"""What torch.compile, FSDP, checkpointing and Fabric put inside keys, wherever the wrapped module is."""
CONTAINERS = ("model", "state_dict", "model_state_dict", "net", "network", "weights")
"""Where checkpoints keep the weights that are meant, where several sets of them would fit."""
AVERAGE = re.compile(
    r"(^|[._-])(ema|swa|averaged?|avg|shadow|polyak|momentum(_\w+)?|encoder_k|target_(network|encoder)|teacher)([._-]|$)"
)
"""Names under which scripts of the field keep a moving average of the weights beside the weights themselves."""


COUNTER = "n_averaged"
"""A buffer of torch's AveragedModel."""


@dataclass(frozen=True)
class Fitting:
    """The tensors of one place in a file, under the keys that the network has.

    Attributes:
        state: key → tensor.
        where: the place and the prefix, as a user would name them; empty for the bare state dict.
        average: whether they are a moving average of the weights, as far as their name tells.
        beside: keys of other tensors in the same state dict.
    """

    state: dict[str, Tensor]
    where: str
    average: bool
    beside: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Candidate:
    fitting: Fitting
    keys: int
    shapes: int

    @property
    def merit(self) -> tuple[int, int]:
        return self.keys, self.shapes


def choose(
    states: Mapping[str, Mapping[str, Tensor]], wanted: Mapping[str, Tensor], *, average: bool = False
) -> tuple[Fitting, Fitting | None]:
    """Return the tensors that fit a network best, and another set that fits as well, where the file holds one.

    Prefixes that wrappers put before keys are taken off. Of the weights and their moving average the weights are
    taken, unless `average` is true; of several weights those under a usual name, such as `state_dict`.

    Args:
        states: place in the file → state dict, see `reading.read_states`.
        wanted: the network's own state dict.
        average: take the moving average.

    Raises:
        UsageError: several networks in the file fit alike, or an average is asked for and there is none.

    >>> import torch
    >>> state = {"module.fc.bias": torch.zeros(2), "n_averaged": torch.tensor(3)}
    >>> choose({"": state}, {"fc.bias": torch.zeros(2)})[0]
    Fitting(state={'fc.bias': tensor([0., 0.])}, where='module', average=True, beside=('n_averaged',))
    """
    candidates = [found for place, state in states.items() for found in _candidates(place, state, wanted)]
    best = max(candidates, key=lambda one: one.merit)
    if not best.keys:
        return max((one.fitting for one in candidates), key=lambda one: len(one.state)), None
    alike = [one.fitting for one in candidates if one.merit == best.merit]
    raw = [one for one in alike if not one.average]
    averages = [one for one in alike if one.average]
    if average and not averages:
        raise UsageError("the weights file holds no moving average beside the weights: leave out the flag that asks")
    chosen = averages if average or not raw else raw
    usual = [one for one in chosen if one.where.partition(".")[0] in CONTAINERS] or chosen
    if any(not _equal(usual[0].state, other.state) for other in usual[1:]):
        names = " and ".join(repr(one.where) for one in usual[:3])
        raise UsageError(f"the weights file holds several networks that fit, under {names}: save the one that is meant")
    others = [one for one in alike if one.average != usual[0].average] + [
        one for one in chosen if not any(one is other for other in usual)
    ]
    return usual[0], next((one for one in others if not _equal(usual[0].state, one.state)), None)


def _candidates(place: str, state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> Iterable[_Candidate]:
    """Return the tensors under each prefix, or all of them where no key is a key of the network."""
    state = _without_inserted(state, wanted)
    matches: Counter[str] = Counter()
    for key in state:
        matches.update(prefix for prefix, rest in _splits(key) if rest in wanted)
    for prefix in matches or [""]:
        under = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
        beside = (
            tuple(key for key in state if not key.startswith(prefix))
            if prefix
            else _guests(state, wanted)
            if matches
            else ()
        )
        under = under if prefix else {key: value for key, value in under.items() if key not in beside}
        where = ".".join(part for part in (place, prefix.rstrip(".")) if part)
        shapes = sum(key in wanted and wanted[key].shape == value.shape for key, value in under.items())
        average = COUNTER in beside or bool(AVERAGE.search(_snake(where)))
        yield _Candidate(Fitting(under, where, average, beside), matches[prefix], shapes)


def _snake(name: str) -> str:
    """Return `modelEma` and `Model_EMA` as `model_ema`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def _splits(key: str) -> Iterable[tuple[str, str]]:
    parts = key.split(".")
    for number in range(len(parts)):
        yield "".join(f"{part}." for part in parts[:number]), ".".join(parts[number:])


def _without_inserted(state: Mapping[str, Tensor], wanted: Iterable[str]) -> Mapping[str, Tensor]:
    inserted = [word for word in INSERTED if not any(word in key for key in wanted)]
    for word in inserted:
        state = {key.replace(word, ""): value for key, value in state.items()}
    return state


def _guests(state: Mapping[str, Tensor], wanted: Iterable[str]) -> tuple[str, ...]:
    """Return keys of modules that are not the network's and no layers: a loss's weights, a metric's counts.

    A layer has a matrix, or a bias or statistics beside its weight.
    """
    own = {key.partition(".")[0] for key in wanted}
    groups: dict[str, list[str]] = {}
    for key in state:
        if key.partition(".")[0] not in own:
            groups.setdefault(key.partition(".")[0], []).append(key)
    layer = re.compile(r"(^|\.)(bias|beta|running_\w+)$")
    harmless = (keys for keys in groups.values() if not any(state[k].dim() > 1 or layer.search(k) for k in keys))
    return tuple(key for keys in harmless for key in keys)


def _equal(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(value.equal(other[key]) for key, value in one.items())
