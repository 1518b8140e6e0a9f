"""A student that reuses its teacher's classifier (SimKD: Chen et al., CVPR 2022, arXiv 2203.14001)."""

import re
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wcord.checks import DoesNotFitError, UsageError, require_counts
from wcord.models.catalogue import LIBRARIES, network_spec
from wcord.models.network import StatesMaps, StatesPreactivations, logits_of, unwrap
from wcord.models.preprocess import stated_preprocess

PREFIX = "simkd"
"""Begins the name of such a network: simkd:STUDENT:TEACHER."""
GUESSED_SIDE = 32
"""Side of the trial images if there is no sample and the network states no size."""
TOLERANCE = 1e-4
"""Largest difference between two equal averages of a map, as a share of the largest number."""


class Projector(nn.Module):
    """Bring the student's last map to the teacher's channels, by a bottleneck of 1×1, 3×3 and 1×1 convolutions.

    Each convolution is without bias and followed by BN and ReLU, as in the authors' code. A larger map than the
    teacher's is first average-pooled to its size, which is part of the state dict.

    Args:
        channels: of the student's map.
        teacher_channels: of the output.
        size: height and width of the teacher's map.
        factor: how much narrower than the teacher's map the bottleneck is.

    Raises:
        UsageError: the bottleneck would have no channel.

    >>> Projector(8, 32, (4, 4))(torch.zeros(2, 8, 16, 2)).shape
    torch.Size([2, 32, 4, 2])
    """

    def __init__(self, channels: int, teacher_channels: int, size: tuple[int, int], *, factor: int = 2) -> None:
        super().__init__()
        require_counts(factor=factor)
        inner = teacher_channels // factor
        if inner < 1:
            raise UsageError(
                f"factor {factor} of {teacher_channels} channels leaves none: choose a smaller one, such as 2"
            )
        self.size = size
        self.layers = nn.Sequential(
            nn.Conv2d(channels, inner, 1, bias=False),
            nn.BatchNorm2d(inner),
            nn.ReLU(),
            nn.Conv2d(inner, inner, 3, padding=1, bias=False),
            nn.BatchNorm2d(inner),
            nn.ReLU(),
            nn.Conv2d(inner, teacher_channels, 1, bias=False),
            nn.BatchNorm2d(teacher_channels),
            nn.ReLU(),
        )

    def forward(self, student_map: Tensor) -> Tensor:
        """Return B×C'×H'×W' of B×C×H×W."""
        size = (min(student_map.shape[2], self.size[0]), min(student_map.shape[3], self.size[1]))
        if student_map.shape[2:] != size:
            student_map = F.adaptive_avg_pool2d(student_map, size)
        return self.layers(student_map)

    def get_extra_state(self) -> Tensor:
        """Return the teacher's size for the state dict."""
        return torch.tensor(self.size)

    def set_extra_state(self, state: Tensor) -> None:
        """Set the teacher's size from a state dict."""
        height, width = state.tolist()
        self.size = (int(height), int(width))


class SimKDStudent(nn.Module):
    """Images in, logits out: classifier_teacher( average( projector( map_student(x) ) ) ).

    The student's network up to its last map, the projector in place before its pooling, and a copy of the teacher's
    classifier, frozen, in place of its own.

    Args:
        trunk: the student's network, which is changed in place.
        tail: places of its pooling and its classifier.
        projector: from its last map to the teacher's.
        classifier: the teacher's.
        teacher_map: address, in the teacher, of the map that the projected one is to equal (see `features.capture`).
    """

    def __init__(
        self, trunk: nn.Module, tail: "Tail", projector: Projector, classifier: nn.Linear, teacher_map: str
    ) -> None:
        super().__init__()
        pooling = nn.Sequential()
        pooling.add_module("projector", projector)
        pooling.add_module("pool", trunk.get_submodule(tail.pooling))
        self.map_paths = _below_trunk(trunk.map_paths if isinstance(trunk, StatesMaps) else {})
        self.preactivation_paths = _below_trunk(
            trunk.preactivation_paths if isinstance(trunk, StatesPreactivations) else {}
        )
        trunk.set_submodule(tail.pooling, pooling)
        trunk.set_submodule(tail.classifier, classifier.requires_grad_(False))
        self.trunk = trunk
        self.projected_map = f"trunk.{tail.pooling}.projector"
        self.teacher_map = teacher_map
        self.classifier_path = f"trunk.{tail.classifier}"

    def forward(self, images: Tensor) -> Tensor:
        """Return logits, B×classes, of the student's input."""
        return logits_of(self.trunk(images))

    @property
    def classifier(self) -> nn.Linear:
        """The teacher's classifier."""
        return cast(nn.Linear, self.get_submodule(self.classifier_path))


@dataclass(frozen=True)
class Tail:
    """The end of a network whose embedding is the average of its last map.

    Attributes:
        pooling: path of the module that averages.
        classifier: path of the linear module that gives the logits.
        shape: of the last map, C×H×W.
    """

    pooling: str
    classifier: str
    shape: tuple[int, int, int]


def reuse_classifier(
    student: nn.Module,
    teacher: nn.Module,
    *,
    sample: Tensor | None = None,
    teacher_sample: Tensor | None = None,
    factor: int = 2,
) -> SimKDStudent:
    """Return the student with a projector to the teacher's last map and a frozen copy of the teacher's classifier.

    Both networks stay unchanged. Only the shapes of the samples matter.

    Args:
        student: any network whose embedding is the average of its last map, by a pooling that is a module.
        teacher: another.
        sample: a batch of the student's input; default: images of the size that it states, else of 32×32 pixels.
        teacher_sample: a batch of the teacher's input; default: the student's.
        factor: see `Projector`.

    Raises:
        DoesNotFitError: a network does not end in pooling and a linear layer.

    >>> from wcord.models.create import create_model
    >>> student = reuse_classifier(create_model("resnet8"), create_model("resnet8x4"))
    >>> student(torch.zeros(2, 3, 32, 32)).shape, student.classifier.in_features
    (torch.Size([2, 100]), 256)
    """
    teacher_sample = sample if teacher_sample is None else teacher_sample
    tail, other = find_tail(student, "student", sample), find_tail(teacher, "teacher", teacher_sample)
    channels, height, width = other.shape
    projector = Projector(tail.shape[0], channels, (height, width), factor=factor)
    classifier = deepcopy(cast(nn.Linear, unwrap(teacher).get_submodule(other.classifier)))
    trunk = deepcopy(unwrap(student))
    device = next((parameter.device for parameter in trunk.parameters()), torch.device("cpu"))
    return SimKDStudent(trunk, tail, projector.to(device), classifier.to(device), f"{other.pooling}:in")


def find_tail(network: nn.Module, role: str = "network", sample: Tensor | None = None) -> Tail:
    """Return the pooling and the classifier at the end of a network, found by running it once.

    Args:
        network: any; it is not changed.
        role: its name in messages.
        sample: a batch of its input; only the shape matters.

    Raises:
        DoesNotFitError: the logits are not the output of a linear module, or its input is not the average of a map
            by a pooling module that runs once.

    >>> from wcord.models.create import create_model
    >>> find_tail(create_model("MobileNetV2"))
    Tail(pooling='avgpool', classifier='classifier.0', shape=(1280, 2, 2))
    """
    inner = unwrap(network)
    shape = _guess(inner) if sample is None else tuple(sample.shape)
    probe = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    calls, logits = _run(network, inner, probe, role)
    classifiers = [call for call in calls if call.linear and _same(call.output, logits)]
    if not classifiers:
        raise _another_end(inner, role, "its logits are not the output of an nn.Linear")
    embedding = classifiers[-1].input
    pools = [call for call in calls if not call.linear and _same(call.output.flatten(1), embedding)]
    if not pools or not _same(pools[-1].input.mean(dim=(2, 3)), embedding):
        raise _another_end(inner, role, "what its classifier takes is not the average of a map by a pooling module")
    pool = pools[-1]
    if sum(call.path == pool.path for call in calls) > 1:
        raise _another_end(inner, role, f"its pooling {pool.path!r} runs more than once")
    channels, height, width = pool.input.shape[1:]
    return Tail(pool.path, classifiers[-1].path, (channels, height, width))


def simkd_names(rest: str) -> tuple[str, str]:
    """Return the names of student and teacher after `simkd:`.

    >>> simkd_names("resnet20:timm:resnet18"), simkd_names("resnet20:timm:hf-hub:timm/resnet18.a1_in1k")
    (('resnet20', 'timm:resnet18'), ('resnet20', 'timm:hf-hub:timm/resnet18.a1_in1k'))

    Raises:
        UsageError: they are not two.
    """
    # A name after a scheme of timm is one word with it.
    words = [word.replace("\0", ":") for word in re.sub(r"(hf-hub|local-dir):", "\\1\0", rest).split(":")]
    # Names of networks of libraries and of user code have two words.
    long_student = len(words) == 4 or (len(words) == 3 and network_spec(words[0]) is None and words[1] not in LIBRARIES)
    student, teacher = ":".join(words[: 1 + long_student]), ":".join(words[1 + long_student :])
    if not 2 <= len(words) <= 4 or not all(words) or PREFIX in words or student in LIBRARIES:
        raise UsageError(
            f"model '{PREFIX}:{rest}' must name a student and a teacher, {PREFIX}:STUDENT:TEACHER, "
            f"such as {PREFIX}:resnet20:resnet56"
        )
    return student, teacher


def _below_trunk(addresses: Mapping[str, str]) -> dict[str, str]:
    return {name: f"trunk.{address}" for name, address in addresses.items()}


@dataclass(frozen=True)
class _Call:
    """One call of a module that may be the classifier, or the pooling: from a map to one position."""

    path: str
    linear: bool
    input: Tensor
    output: Tensor


def _run(network: nn.Module, inner: nn.Module, probe: Tensor, role: str) -> tuple[list[_Call], Tensor]:
    """Run a network in eval mode, and return the calls of possible classifiers and poolings, and the logits."""
    calls: list[_Call] = []

    def note(path: str) -> Any:
        def hook(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            received = inputs[0] if inputs else None
            if not isinstance(received, Tensor) or not isinstance(output, Tensor):
                return
            pools = received.dim() == 4 and output.dim() == 4 and output.shape[2:] == (1, 1)
            # For maps of one position, other modules also return one position.
            pools = pools and (received.shape[2:] != (1, 1) or isinstance(module, (nn.AdaptiveAvgPool2d, nn.AvgPool2d)))
            if pools or (isinstance(module, nn.Linear) and received.dim() == 2):
                calls.append(_Call(path, not pools, received, output))

        return hook

    leaves = [(path, module) for path, module in inner.named_modules() if path and not list(module.children())]
    handles = [module.register_forward_hook(note(path)) for path, module in leaves]
    modes = [(module, module.training) for module in network.modules()]
    like = next(network.parameters(), probe)
    network.eval()
    try:
        with torch.no_grad():
            return calls, logits_of(network(probe.to(like)))
    except (RuntimeError, ValueError, AssertionError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise UsageError(
            f"the {role} cannot take an input of shape {tuple(probe.shape)} ({reason}): give a sample of what it sees"
        ) from None
    finally:
        for handle in handles:
            handle.remove()
        for module, training in modes:
            module.training = training


def _same(one: Tensor, other: Tensor) -> bool:
    """Return whether two results are equal up to rounding, relative to the largest number."""
    return one.shape == other.shape and bool((one - other).abs().max() <= TOLERANCE * other.abs().max())


def _guess(network: nn.Module) -> tuple[int, ...]:
    channels = next((module.in_channels for module in network.modules() if isinstance(module, nn.Conv2d)), 3)
    stated = stated_preprocess(network, in_channels=channels)
    height, width = (stated.size if stated is not None else None) or (GUESSED_SIDE, GUESSED_SIDE)
    return 2, channels, height, width


def _another_end(network: nn.Module, role: str, why: str) -> DoesNotFitError:
    return DoesNotFitError(
        f"simkd needs a {role} that averages its last map and classifies the average, but of {type(network).__name__} "
        f"{why}: use a network of `wcord list`, or another method"
    )
