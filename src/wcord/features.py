"""Read logits, embedding and maps out of one forward pass of any network, by hooks that are always removed."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from wcord.checks import DoesNotFitError, UsageError, require_kind, require_names
from wcord.models.classifier import classifier_paths, joined_classifiers, stated_widths
from wcord.models.map_addresses import (
    ends_of,
    near_paths,
    no_such_path,
    resolve,
    stated_channels,
)
from wcord.models.map_addresses import map_names as map_names
from wcord.models.map_addresses import preactivation as preactivation
from wcord.models.network import (
    is_compiled,
    logits_of,
    merged_parts,
    shown_type,
    stated_embedding,
)
from wcord.models.network import unwrap as unwrap
from wcord.models.preactivation import INPUT_SIDE as INPUT_SIDE
from wcord.models.preactivation import RELUS


@dataclass(frozen=True)
class Features:
    """The result of one forward pass.

    Attributes:
        logits: B×classes; of a network without a classifier, B×0.
        embedding: B×D, the input of the classifier, averaged over positions if it has any.
        maps: name → B×C×H×W, or B×T×D of a transformer.
        cuts: the maps after which the gradient stopped in this pass; see `capture`.
    """

    logits: Tensor
    embedding: Tensor
    maps: Mapping[str, Tensor] = field(default_factory=dict)
    cuts: tuple[str, ...] = ()

    def each(self, change: Callable[[Tensor], Tensor]) -> "Features":
        """Return the features with a change of every tensor."""
        maps = {name: change(value) for name, value in self.maps.items()}
        return replace(self, logits=change(self.logits), embedding=change(self.embedding), maps=maps)

    def to(self, device: torch.device | str) -> "Features":
        """Return the features on `device`."""
        return self.each(lambda value: value.to(device, non_blocking=True))

    def detach(self) -> "Features":
        """Return the features without their graph; they share their memory."""
        return self.each(Tensor.detach)

    def split(self, sizes: Sequence[int]) -> "list[Features]":
        """Return the features of samples in batches of these sizes, which share their memory."""
        maps = {name: value.split(list(sizes)) for name, value in self.maps.items()}
        pairs = zip(self.logits.split(list(sizes)), self.embedding.split(list(sizes)), strict=True)
        return [
            Features(*pair, {name: parts[at] for name, parts in maps.items()}, self.cuts)
            for at, pair in enumerate(pairs)
        ]

    def first(self, rows: int) -> "Features":
        """Return the features of the first samples, which share their memory: of a rotated batch, the upright ones."""
        return self.each(lambda value: value[:rows])


_NAME_IT = (
    "name the module whose input is the embedding, by --embedding PATH (--student-embedding or --teacher-embedding in "
    "distill) or embedding=PATH"
)


@contextmanager
def capture(
    model: nn.Module, maps: Sequence[str] = (), embedding: str | None = None, cut: Sequence[str] = ()
) -> "Iterator[Tap]":
    """Open a tap on a network: within the context, `tap(x)` runs it and returns its `Features`.

    The model itself is called, so DDP and torch.compile work; the hooks are on the network inside. They store
    references only and are always removed at the end of the context. A ReLU whose input is read does not overwrite it
    in the context.

    Args:
        model: any module that returns logits (or an output that holds `.logits`).
        maps: maps to read: names that the network states (see `map_names`), `pre:NAME` for one before its ReLU, which
            the network states or which ends the map's module, or addresses: a module's path, as in `named_modules()`,
            for its output, and `PATH:in` for its input.
        embedding: path of the module whose *input* is the embedding. Default: the one that a `Network` was built
            with, else the classifier (see `classifier_paths`), which must give the logits; that is verified.
        cut: maps after which the gradient stops: they are read with their graph, and the rest of the network gets them
            without it, so that no loss of a later layer reaches the layers before. Values stay the same. Names as in
            `maps`, of outputs only. A method says which it needs: `cut=objective.cuts`.

    Raises:
        UsageError: a path does not exist; a module did not run, ran more than once, or its output was changed in place
            afterwards; the classifier could not be found.

    >>> import torch
    >>> from wcord.models.create import create_model
    >>> with capture(create_model("resnet8"), maps=["stage3"]) as tap:
    ...     features = tap(torch.zeros(2, 3, 32, 32))
    >>> features.logits.shape, features.embedding.shape, features.maps["stage3"].shape
    (torch.Size([2, 100]), torch.Size([2, 64]), torch.Size([2, 64, 8, 8]))
    """
    tap = Tap(model, maps, embedding, cut)
    handles = []
    overwriting = [m for a, m in tap.watched.items() if a.endswith(INPUT_SIDE) and isinstance(m, RELUS) and m.inplace]
    try:
        for relu in overwriting:
            relu.inplace = False
        for address, module in tap.watched.items():
            if address.endswith(INPUT_SIDE):
                handles.append(module.register_forward_pre_hook(tap.before_hook(address), with_kwargs=True))
            else:
                handles.append(module.register_forward_hook(tap.output_hook(address)))
        for path in tap.heads:
            hook = tap.input_hook(path)
            handles.append(tap.network.get_submodule(path).register_forward_pre_hook(hook, with_kwargs=True))
        yield tap
    finally:
        for handle in handles:
            handle.remove()
        for relu in overwriting:
            relu.inplace = True


@dataclass(frozen=True)
class _Recorded:
    """A tensor that a hook received, and its count of in-place changes at that time, if it has one."""

    tensor: Tensor
    version: int | None


class Tap:
    """Calls the model and collects the tensors of its hooks; `capture` yields it."""

    def __init__(
        self, model: nn.Module, maps: Sequence[str], embedding: str | None = None, cut: Sequence[str] = ()
    ) -> None:
        require_names("maps", maps)
        require_names("cut", cut)
        if embedding is not None:
            require_kind("embedding", embedding, str, "the path of a module")
        if isinstance(model, nn.DataParallel):
            raise UsageError("nn.DataParallel splits the tensors that the hooks read: use DistributedDataParallel")
        self.model = model
        self.network = unwrap(model)
        self.parts = merged_parts(model)
        self.cuts = tuple(cut)
        self.paths = {name: resolve(self.network, name) for name in dict.fromkeys((*maps, *cut))}
        self.cut_paths = {name: _output_path(name, self.paths[name]) for name in cut}
        self.ends = ends_of(self.network, self.paths)
        self.channels = stated_channels(self.network)
        embedding = stated_embedding(model) if embedding is None else embedding
        self.guesses_head = embedding is None
        self.heads = _find_heads(self.network) if embedding is None else (embedding,)
        self.widths = stated_widths(self.network)
        modules = dict(self.network.named_modules())
        if self.heads[0] not in modules:
            raise no_such_path(self.network, self.heads[0])
        watched = {*self.paths.values(), *(self.heads if self.guesses_head else [])}
        watched |= {path for end in self.ends.values() for path in end}
        self.watched = {address: modules[address.removesuffix(INPUT_SIDE)] for address in sorted(watched)}
        self._running = False
        self._outputs: dict[str, tuple[Any, ...]] = {}
        self._inputs: dict[str, tuple[Any, ...]] = {}

    def __call__(self, *inputs: Any, **named: Any) -> Features:
        """Run the model once and return its features; the arguments are those of the model."""
        self._outputs, self._inputs, self._running = {}, {}, True
        try:
            logits = logits_of(self.model(*inputs, **named))
            maps = {name: self._map(name) for name in self.paths}
            return Features(logits, self._embedding(logits), maps, self.cuts)
        finally:
            self._outputs, self._inputs, self._running = {}, {}, False

    def output_hook(self, path: str) -> Any:
        """Return a hook that stores a module's output, and cuts the gradient after it if the tap has to."""
        cuts = path in self.cut_paths.values()

        def hook(module: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
            # Outside a call of the tap (gradient checkpointing runs modules again in backward) nothing is stored.
            if self._running:
                self._outputs[path] = (*self._outputs.get(path, ()), _record(output))
            return _detached(output) if cuts and (self._running or _in_backward()) else None

        return hook

    def before_hook(self, address: str) -> Any:
        """Return a hook that stores a module's input."""

        def hook(module: nn.Module, args: tuple[Any, ...], named: dict[str, Any]) -> None:
            if self._running:
                self._outputs[address] = (*self._outputs.get(address, ()), _first(args, named))

        return hook

    def input_hook(self, path: str) -> Any:
        """Return a hook that stores a classifier's input."""

        def hook(module: nn.Module, args: tuple[Any, ...], named: dict[str, Any]) -> None:
            if self._running:
                self._inputs[path] = (*self._inputs.get(path, ()), _first(args, named))

        return hook

    def _map(self, name: str) -> Tensor:
        path = self.paths[name]
        outputs = self._outputs.get(path, ())
        if name in self.ends and outputs:
            self._require_end(name)
            return _intact(outputs[-1], f"map {name!r} (input of {self.ends[name][0]!r})")
        if len(outputs) > 1:
            raise UsageError(
                f"map {name!r}: module {path!r} runs {len(outputs)} times in a forward pass: name one that runs once"
            )
        if not outputs:
            raise self._never_ran("map", name, path)
        value = _intact(outputs[0], f"map {name!r} (output of {path!r})")
        return _channels_first(value, self.channels.get(path))

    def _require_end(self, name: str) -> None:
        """Raise unless the ReLU at the end of a map's module computed that map."""
        relu, whole = (self._outputs.get(path, (None,))[-1] for path in self.ends[name])
        if relu is None or whole is None or relu.tensor is not whole.tensor:
            plain = name.partition(":")[2]
            raise DoesNotFitError(
                f"{type(self.network).__name__} does not say where its map {plain!r} is before its ReLU, "
                f"and the last ReLU inside, {self.ends[name][0]!r}, does not give it: state preactivation_paths on the "
                "network, or choose another method"
            )

    def _embedding(self, logits: Tensor) -> Tensor:
        """Return the input of the classifier; of several that each see a part of the embedding, side by side."""
        parts = [self._part(path, logits) for path in self.heads]
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)

    def _part(self, path: str, logits: Tensor) -> Tensor:
        outputs, inputs = self._outputs.get(path, ()), self._inputs.get(path, ())
        if not inputs:
            raise self._never_ran("embedding", path, path)
        classes = logits.shape[-1] if self.parts is None else self.parts
        plausible = len(outputs) == len(inputs) and _may_be_logits(outputs[-1], logits.shape[0], classes)
        if self.guesses_head and not plausible:
            raise UsageError(
                f"the classifier of {type(self.network).__name__} was not found: the output of {path!r} is not the "
                f"logits {tuple(logits.shape)}; {_NAME_IT}, e.g. {_candidates(self.network)}"
            )
        value = _intact(inputs[-1], f"embedding (input of {path!r})")
        head = self.network.get_submodule(path)
        return _average_positions(value, widths=self.widths, channels_last=isinstance(head, nn.Linear))

    def _never_ran(self, kind: str, name: str, path: str) -> UsageError:
        if is_compiled(self.model):
            return UsageError(
                f"{kind} {name!r} was not read: the model was compiled before capture began; open capture before the "
                "compiled model first runs, or call torch.compiler.reset()"
            )
        near = near_paths(path, [other for other, _ in self.network.named_modules() if other != path])
        return UsageError(f"{kind} {name!r}: module {path!r} did not run in this forward pass{near}")


def _output_path(name: str, address: str) -> str:
    """Return the path of the module whose output is a map; raise for another kind of map, which cannot be cut."""
    if address.endswith(INPUT_SIDE):
        raise UsageError(
            f"cut {name!r} is the input of a module, and the gradient can stop only after a module's output: name a "
            "stage, or the module that gives this input"
        )
    return address


def _detached(output: Any) -> Any:
    """Return a module's output without its graph; of several outputs, each tensor."""
    if isinstance(output, Tensor):
        return output.detach()
    if isinstance(output, (tuple, list)):
        parts = [part.detach() if isinstance(part, Tensor) else part for part in output]
        return type(output)(*parts) if hasattr(output, "_fields") else type(output)(parts)
    return output


def _in_backward() -> bool:
    """Return whether a backward pass runs: gradient checkpointing then repeats the forward pass, cuts included."""
    return not torch.compiler.is_compiling() and torch._C._current_graph_task_id() != -1


def _first(args: tuple[Any, ...], named: dict[str, Any]) -> _Recorded | None:
    return _record(next(iter((*args, *named.values())), None))


def _record(value: Any) -> _Recorded | None:
    """Record an input or output of a module; of several, the first, which is the tensor of transformers' layers."""
    if isinstance(value, (tuple, list)) and value:
        value = value[0]
    if not isinstance(value, Tensor):
        return None
    # Reading the count breaks a compiled graph, and in inference mode PyTorch has none.
    uncounted = torch.compiler.is_compiling() or value.is_inference()
    return _Recorded(value, None if uncounted else value._version)


def _intact(recorded: _Recorded | None, what: str) -> Tensor:
    if recorded is None:
        raise UsageError(f"{what} is not a tensor: name another module")
    if recorded.version is not None and recorded.tensor._version != recorded.version:
        raise UsageError(f"{what} is changed in place afterwards (inplace=True?): name the module that changes it")
    return recorded.tensor


def _channels_first(value: Tensor, channels: int | None) -> Tensor:
    """Return B×C×H×W of a map that a network of timm, such as a Swin, returns as B×H×W×C."""
    last = value.dim() == 4 and channels is not None and value.shape[1] != channels == value.shape[3]
    return value.permute(0, 3, 1, 2) if last else value


def _linears(network: nn.Module) -> list[str]:
    return [path for path, module in network.named_modules() if isinstance(module, nn.Linear)]


def _candidates(network: nn.Module) -> str:
    paths = [path for path in _linears(network) if path] or [path for path, _ in network.named_modules() if path]
    return ", ".join(repr(path) for path in paths[-5:]) or "none"


def _find_heads(network: nn.Module) -> tuple[str, ...]:
    """Return the path of the classifier, or of all whose inputs together are the embedding."""
    paths = classifier_paths(network)
    if not paths:
        raise UsageError(
            f"{shown_type(network)} has no linear layer that could be its classifier: {_NAME_IT}, "
            f"e.g. {_candidates(network)}"
        )
    return paths if joined_classifiers(network) else paths[:1]


def _may_be_logits(output: _Recorded | None, batch: int, classes: int) -> bool:
    """Return whether a module's output can be the logits: same batch and classes, before positions are averaged."""
    if output is None or output.tensor.shape[0] != batch:
        return False
    shape = output.tensor.shape
    return classes in ((shape[1], shape[-1]) if output.tensor.dim() == 4 else (shape[-1],))


def _average_positions(x: Tensor, *, widths: Collection[int], channels_last: bool) -> Tensor:
    """Return B×D of B×D, of tokens B×T×D, or of a map B×C×H×W or B×H×W×C.

    Args:
        x: the input of a classifier.
        widths: widths that the network states; if only one axis fits, it is that of the channels.
        channels_last: whether a map is B×H×W×C, if the widths do not decide it.
    """
    if x.dim() == 2:
        return x
    if x.dim() not in (3, 4):
        raise UsageError(f"an embedding must have 2, 3 or 4 dimensions, received {tuple(x.shape)}: name another module")
    last = True if x.dim() == 3 else channels_last
    if (x.shape[1] in widths) != (x.shape[-1] in widths):
        last = x.shape[-1] in widths
    return x.flatten(1, -2).mean(dim=1) if last else x.flatten(2).mean(dim=2)
