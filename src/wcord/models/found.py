"""What a weights file holds for a network, and wherein the two differ."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from torch import Tensor, nn

from wcord.checks import UsageError
from wcord.models.classifier import classifier_paths, is_head_key
from wcord.models.fitting import COUNTER, Fitting, choose
from wcord.models.reading import read_states

TRACKED = "num_batches_tracked"
"""A buffer of BatchNorm that files from before PyTorch 0.4.1 lack, and that no forward pass needs."""
SHOWN = 3
"""Wrong keys named in a message, of each kind."""


@dataclass(frozen=True)
class Found:
    """The tensors of a file for a network.

    Attributes:
        path: the file.
        state: the file's tensors, by the network's keys.
        wanted: the network's own.
        heads: paths of the network's classifiers.
        beheaded: whether the classifier's tensors were left out, on both sides.
    """

    path: str
    state: Mapping[str, Tensor]
    wanted: Mapping[str, Tensor]
    heads: tuple[str, ...]
    beheaded: bool = False

    @classmethod
    def of(cls, network: nn.Module, path: str | Path, *, ema: bool, say: Callable[[str], None]) -> "Found":
        """Read what a file holds for a network, and tell what is taken where it holds several.

        Raises:
            UsageError: the file cannot be read, or holds no moving average where that is wanted.
        """
        wanted = network.state_dict()
        taken, other = choose(read_states(path), wanted, average=ema)
        if other is not None:
            say(_which(path, taken, other))
        beside = [key for key in taken.beside if key != COUNTER]
        if beside and other is None:
            say(f"{str(path)!r} also holds what is not the network's, which is left out: {_some(beside)}")
        return cls(str(path), taken.state, wanted, classifier_paths(network))

    @cached_property
    def missing(self) -> list[str]:
        """Keys that the file lacks."""
        present = {value.data_ptr() for key, value in self.wanted.items() if key in self.state}
        return [
            key
            for key, value in self.wanted.items()
            # A tied tensor is often saved under one of its names alone.
            if key not in self.state
            and not key.endswith(TRACKED)
            and (value.data_ptr() not in present or value.numel() == 0)
        ]

    @cached_property
    def unexpected(self) -> list[str]:
        """Keys that the network does not have."""
        return [key for key in self.state if key not in self.wanted]

    @cached_property
    def misshaped(self) -> list[str]:
        """Keys whose tensors have another shape."""
        return [
            key for key, value in self.state.items() if key in self.wanted and self.wanted[key].shape != value.shape
        ]

    @property
    def misfits(self) -> list[str]:
        """All keys that do not fit."""
        return [*self.missing, *self.unexpected, *self.misshaped]

    @property
    def classes(self) -> tuple[int, int] | None:
        """The file's and the network's number of classes, where they alone explain the wrong shapes."""
        pairs = [(self.state[key].shape, self.wanted[key].shape) for key in self.misshaped]
        counts = {(theirs[0], ours[0]) for theirs, ours in pairs if theirs and ours and theirs[1:] == ours[1:]}
        only_the_first = len(counts) == 1 and all(theirs[1:] == ours[1:] for theirs, ours in pairs)
        # More tensors than a classifier's weight and bias differ where the widths do.
        others = [key for key in self.misshaped if not is_head_key(key, self.heads)]
        return counts.pop() if only_the_first and len(others) <= 2 else None

    @property
    def lacks_head(self) -> bool:
        """Whether the file has no classifier, or another kind of one, and fits in all else."""
        elsewhere = [key for key in self.misfits if not is_head_key(key, self.heads)]
        return bool(self.missing) and not elsewhere

    @property
    def only_head_differs(self) -> bool:
        """Whether the file fits in all but the classifier."""
        only_shapes = not self.missing and not self.unexpected and self.classes is not None
        return only_shapes or all(is_head_key(key, self.heads) for key in self.misfits)

    def without_head(self) -> "Found":
        """Return the same without what does not fit in the classifier, on either side."""
        heads = [key for key in self.misfits if is_head_key(key, self.heads)]
        dropped = {*heads, *(self.misshaped if self.classes is not None else ())}
        return replace(
            self,
            state={key: value for key, value in self.state.items() if key not in dropped},
            wanted={key: value for key, value in self.wanted.items() if key not in dropped},
            beheaded=True,
        )

    def error(self) -> UsageError:
        """Return the error that says wherein the two differ."""
        shapes = [
            f"{key} {tuple(self.state[key].shape)} where the network has {tuple(self.wanted[key].shape)}"
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
