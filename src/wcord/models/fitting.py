"""Matches the tensors in a file to a network: their place and prefix, what else is there, and what does not fit."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from torch import Tensor, nn

from wcord.checks import UsageError
from wcord.models.classifier import classifier_paths, is_head_key
from wcord.models.reading import read_states

INSERTED = ("_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.", "_forward_module.")
"""What torch.compile, FSDP, checkpointing and Fabric insert into keys at a wrapped module."""
CONTAINERS = ("model", "state_dict", "model_state_dict", "net", "network", "weights")
"""Usual places of the weights in a checkpoint, preferred if several sets fit."""
AVERAGE = re.compile(
    r"(^|[._-])(ema|swa|averaged?|avg|shadow|polyak|momentum(_\w+)?|encoder_k|target_(network|encoder)|teacher)([._-]|$)"
)
"""Usual names of a moving average of the weights in a checkpoint."""


COUNTER = "n_averaged"
"""A buffer of torch's AveragedModel."""


@dataclass(frozen=True)
class Fitting:
    """The tensors of one place in a file, under the keys that the network has.

    Attributes:
        state: key → tensor.
        where: place and prefix, for messages; empty for the bare state dict.
        average: whether they are a moving average of the weights, by their name.
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
    states: Mapping[str, Mapping[str, Tensor]], target: Mapping[str, Tensor], *, average: bool = False
) -> tuple[Fitting, Fitting | None]:
    """Return the tensors that fit a network best, and another set that fits as well, or None.

    Prefixes of wrappers are removed. Weights are preferred to their moving average, unless `average` is true; among
    several sets, those under a usual name, such as `state_dict`.

    Args:
        states: place in the file → state dict, see `reading.read_states`.
        target: the network's state dict.
        average: prefer the moving average.

    Raises:
        UsageError: several networks in the file fit equally well, or there is no moving average to prefer.

    >>> import torch
    >>> state = {"module.fc.bias": torch.zeros(2), "n_averaged": torch.tensor(3)}
    >>> choose({"": state}, {"fc.bias": torch.zeros(2)})[0]
    Fitting(state={'fc.bias': tensor([0., 0.])}, where='module', average=True, beside=('n_averaged',))
    """
    candidates = [candidate for place, state in states.items() for candidate in _candidates(place, state, target)]
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
        raise UsageError(f"the weights file holds several networks that fit, under {names}: save the right one")
    others = [one for one in alike if one.average != usual[0].average] + [
        one for one in chosen if not any(one is other for other in usual)
    ]
    return usual[0], next((one for one in others if not _equal(usual[0].state, one.state)), None)


def _candidates(place: str, state: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> Iterable[_Candidate]:
    """Return the tensors under each prefix, or all of them where no key is a key of the network."""
    state = _without_inserted(state, target)
    matches: Counter[str] = Counter()
    for key in state:
        matches.update(prefix for prefix, rest in _splits(key) if rest in target)
    for prefix in matches or [""]:
        under = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
        beside = (
            tuple(key for key in state if not key.startswith(prefix))
            if prefix
            else _guests(state, target)
            if matches
            else ()
        )
        under = under if prefix else {key: value for key, value in under.items() if key not in beside}
        where = ".".join(part for part in (place, prefix.rstrip(".")) if part)
        shapes = sum(key in target and target[key].shape == value.shape for key, value in under.items())
        average = COUNTER in beside or bool(AVERAGE.search(_snake(where)))
        yield _Candidate(Fitting(under, where, average, beside), matches[prefix], shapes)


def _snake(name: str) -> str:
    """Return `modelEma` and `Model_EMA` as `model_ema`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def _splits(key: str) -> Iterable[tuple[str, str]]:
    parts = key.split(".")
    for number in range(len(parts)):
        yield "".join(f"{part}." for part in parts[:number]), ".".join(parts[number:])


def _without_inserted(state: Mapping[str, Tensor], target: Iterable[str]) -> Mapping[str, Tensor]:
    inserted = [word for word in INSERTED if not any(word in key for key in target)]
    for word in inserted:
        state = {key.replace(word, ""): value for key, value in state.items()}
    return state


def _guests(state: Mapping[str, Tensor], target: Iterable[str]) -> tuple[str, ...]:
    """Return keys of modules outside the network that are no layers: a loss's weights, a metric's counts.

    A layer has a matrix, or a bias or statistics in addition to its weight.
    """
    own = {key.partition(".")[0] for key in target}
    groups: dict[str, list[str]] = {}
    for key in state:
        if key.partition(".")[0] not in own:
            groups.setdefault(key.partition(".")[0], []).append(key)
    layer = re.compile(r"(^|\.)(bias|beta|running_\w+)$")
    harmless = (keys for keys in groups.values() if not any(state[k].dim() > 1 or layer.search(k) for k in keys))
    return tuple(key for keys in harmless for key in keys)


def _equal(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(value.equal(other[key]) for key, value in one.items())


TRACKED = "num_batches_tracked"
"""A buffer of BatchNorm that is absent in files older than PyTorch 0.4.1, and that no forward pass needs."""
SHOWN = 3
"""Wrong keys of each kind that a message names."""


@dataclass(frozen=True)
class StateMatch:
    """The tensors in a file, matched to those of a network.

    Attributes:
        path: the file.
        state: the file's tensors, by the network's keys.
        target: the network's tensors.
        heads: paths of the network's classifiers.
        headless: whether the classifier's tensors are left out, on both sides.
    """

    path: str
    state: Mapping[str, Tensor]
    target: Mapping[str, Tensor]
    heads: tuple[str, ...]
    headless: bool = False

    @classmethod
    def of(cls, network: nn.Module, path: str | Path, *, ema: bool, say: Callable[[str], None]) -> "StateMatch":
        """Read the tensors for a network from a file, and report which ones if there are several sets.

        Raises:
            UsageError: the file cannot be read, or holds no moving average to prefer.
        """
        target = network.state_dict()
        taken, other = choose(read_states(path), target, average=ema)
        if other is not None:
            say(_which(path, taken, other))
        beside = [key for key in taken.beside if key != COUNTER]
        if beside and other is None:
            say(f"{str(path)!r} also holds what is not the network's, which is left out: {_some(beside)}")
        return cls(str(path), taken.state, target, classifier_paths(network))

    @cached_property
    def missing(self) -> list[str]:
        """Keys that the file lacks."""
        present = {value.data_ptr() for key, value in self.target.items() if key in self.state}
        return [
            key
            for key, value in self.target.items()
            # A tied tensor is often saved under a single name.
            if key not in self.state
            and not key.endswith(TRACKED)
            and (value.data_ptr() not in present or value.numel() == 0)
        ]

    @cached_property
    def unexpected(self) -> list[str]:
        """Keys that the network does not have."""
        return [key for key in self.state if key not in self.target]

    @cached_property
    def misshaped(self) -> list[str]:
        """Keys whose tensors have another shape."""
        return [
            key for key, value in self.state.items() if key in self.target and self.target[key].shape != value.shape
        ]

    @property
    def misfits(self) -> list[str]:
        """All keys that do not fit."""
        return [*self.missing, *self.unexpected, *self.misshaped]

    @property
    def classes(self) -> tuple[int, int] | None:
        """The file's and the network's numbers of classes, if they alone explain the wrong shapes; else None."""
        pairs = [(self.state[key].shape, self.target[key].shape) for key in self.misshaped]
        counts = {(file[0], net[0]) for file, net in pairs if file and net and file[1:] == net[1:]}
        only_the_first = len(counts) == 1 and all(file[1:] == net[1:] for file, net in pairs)
        # If the widths differ, so do more tensors than a classifier's weight and bias.
        others = [key for key in self.misshaped if not is_head_key(key, self.heads)]
        return counts.pop() if only_the_first and len(others) <= 2 else None

    @property
    def lacks_head(self) -> bool:
        """Whether the file has no classifier, or another kind, and otherwise fits."""
        others = [key for key in self.misfits if not is_head_key(key, self.heads)]
        return bool(self.missing) and not others

    @property
    def only_head_differs(self) -> bool:
        """Whether the file fits except for the classifier."""
        only_shapes = not self.missing and not self.unexpected and self.classes is not None
        return only_shapes or all(is_head_key(key, self.heads) for key in self.misfits)

    def without_head(self) -> "StateMatch":
        """Return the match without the classifier's tensors that do not fit, on both sides."""
        heads = [key for key in self.misfits if is_head_key(key, self.heads)]
        dropped = {*heads, *(self.misshaped if self.classes is not None else ())}
        return replace(
            self,
            state={key: value for key, value in self.state.items() if key not in dropped},
            target={key: value for key, value in self.target.items() if key not in dropped},
            headless=True,
        )

    def error(self) -> UsageError:
        """Return the error that names the differences."""
        shapes = [
            f"{key} {tuple(self.state[key].shape)} where the network has {tuple(self.target[key].shape)}"
            for key in self.misshaped
        ]
        kinds = (("missing", self.missing), ("unexpected", self.unexpected), ("of another shape", shapes))
        differences = "; ".join(f"{len(keys)} {kind} ({_some(keys)})" for kind, keys in kinds if keys)
        classes = None if self.missing or self.unexpected else self.classes
        hint = "are they of another architecture?"
        if classes:
            hint = (
                f"they have {classes[0]} classes and the network {classes[1]}: build it with num_classes={classes[0]} "
                f"(--teacher-classes {classes[0]} where it is the teacher)"
            )
        return UsageError(f"weights {self.path!r} do not fit the network: {differences}; {hint}")


def _which(path: str | Path, taken: Fitting, other: Fitting) -> str:
    places = f"{taken.where or 'the file itself'!r}"
    if taken.average == other.average:
        return f"{str(path)!r} holds several sets of weights: those under {places} are loaded, not {other.where!r}"
    if taken.average:
        return f"{str(path)!r} holds two sets of weights: the moving average ({places}) is loaded"
    return (
        f"{str(path)!r} holds two sets of weights: the raw ones ({places}) are loaded, not their moving average "
        f"({other.where!r}), which --ema-weights takes (--teacher-ema-weights or --student-ema-weights in distill; "
        "ema=True in load_weights)"
    )


def _some(keys: list[str]) -> str:
    more = f" and {len(keys) - SHOWN} more" if len(keys) > SHOWN else ""
    return ", ".join(keys[:SHOWN]) + more
