"""4Ds as a term: Fourier adapters train inside the teacher, and the phases of every stage are compared."""

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor, nn

from wcord.checks import DoesNotFitError, UsageError, require_bool, require_choice, require_number, require_positive
from wcord.data.batch import Batch
from wcord.features import Features, unwrap
from wcord.losses.fourds import fuse_phases, phase_amplitude, phase_feature_loss, recompose
from wcord.losses.kd import kd_loss
from wcord.methods.ce import CETerm
from wcord.methods.maps import MapPair, spatial_pairs
from wcord.methods.observe import observe
from wcord.methods.setting import Setting
from wcord.methods.term import Needs, TeacherTraining, Term
from wcord.models.map_addresses import map_path
from wcord.models.network import StatesMaps, StatesPreactivations
from wcord.numerics import FullPrecisionModule, autocast_off, in_precision_of

SHARPNESS = 0.1
"""Temperature of the softmax over θ, which weighs the two amplitudes."""
REDUCTION = 16
"""How much narrower than its input the gate is inside."""
SMALLEST, SMALL = 3, 4
"""Smallest side of a last map: the phases of one of 2×2 are 0 or π, without a gradient. At 4×4 some bins have none."""


class FourierAdapter(FullPrecisionModule):
    r"""Change the amplitude of a map's spectrum, and keep its phase.

    x' = Re IFFT2((w₀ A(a) + w₁ A(x)) · e^{iP(x)}),  a = BN(U ReLU(BN(V x))),  (w₀, w₁) = softmax(θ / 0.1)

    with V: C → C/4 and U: C/4 → C convolutions of 1×1 without bias, and A, P of `losses.phase_amplitude`. Tang et al.,
    ECCV 2024.

    Args:
        channels: C of the map.
        theta: θ is (theta, −theta) at first; 0 weighs both amplitudes equally, −0.5 leaves the map nearly as it is.

    >>> FourierAdapter(8)(torch.rand(2, 8, 5, 6)).shape
    torch.Size([2, 8, 5, 6])
    """

    def __init__(self, channels: int, *, theta: float = 0.0) -> None:
        super().__init__()
        inner = max(1, channels // 4)
        self.adapt = nn.Sequential(
            nn.Conv2d(channels, inner, 1, bias=False),
            nn.BatchNorm2d(inner),
            nn.ReLU(),
            nn.Conv2d(inner, channels, 1, bias=False),
            nn.BatchNorm2d(channels),
        )
        self.theta = nn.Parameter(torch.tensor([theta, -theta], dtype=torch.float32))
        self.phase = nn.Identity()  # its output is P(x), which the method reads as a map

    def forward(self, x: Tensor) -> Tensor:
        """Return x', B×C×H×W of x's type, of x, B×C×H×W."""
        with autocast_off(x):
            whole = in_precision_of(self, x)
            phase, amplitude = phase_amplitude(whole)
            phase = self.phase(phase)
            adapted = phase_amplitude(self.adapt(whole))[1]
            weights = (self.theta / SHARPNESS).softmax(dim=0)
            return recompose(phase, weights[0] * adapted + weights[1] * amplitude).to(x.dtype)


class AdaptedStage(nn.Module):
    """A stage of a network with an adapter after it; `stage` gives the map before the adapter.

    Args:
        stage: the stage.
        adapter: see `FourierAdapter`.
        channels: of the stage's output.
    """

    def __init__(self, stage: nn.Module, adapter: FourierAdapter, channels: int) -> None:
        super().__init__()
        self.stage, self.adapter, self.channels = stage, adapter, channels

    def forward(self, x: Tensor) -> Tensor:
        """Return the adapted output of the stage.

        Raises:
            DoesNotFitError: that output is not a map with the channels first.
        """
        output = self.stage(x)
        if not isinstance(output, Tensor) or output.dim() != 4 or output.shape[1] != self.channels:
            kind = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
            raise DoesNotFitError(
                f"4ds adapts maps of batch × channels × height × width, received {kind} with {self.channels} channels: "
                "use a convolutional teacher, or name other maps"
            )
        return self.adapter(output)


def adapt_teacher(
    teacher: nn.Module,
    student: nn.Module,
    sample: Tensor | None = None,
    teacher_sample: Tensor | None = None,
    teacher_maps: Sequence[str] = (),
    *,
    theta: float = 0.0,
) -> nn.Module:
    """Return the teacher, changed in place, with a Fourier adapter after each stage: all of its maps but the first.

    Use `methods.build.adapt_teacher`, which copies and freezes the teacher.

    Args:
        teacher: a convolutional network.
        student: the network to be trained.
        sample: a batch of the student's inputs.
        teacher_sample: a batch of the teacher's inputs.
        teacher_maps: names of the teacher's maps, from stem to last.
        theta: see `FourierAdapter`.

    Raises:
        DoesNotFitError: the teacher has no stages, they are not outputs of separate modules, or not maps of
            channels × height × width.
    """
    require_number("theta", theta)
    names = tuple(teacher_maps)[1:]
    if not names:
        raise DoesNotFitError(
            "4ds adds an adapter after each stage of the teacher, which states none: name its modules from stem to "
            "last with --teacher-maps"
        )
    shapes = observe(
        student, teacher, student_sample=sample, teacher_sample=teacher_sample, teacher_maps=teacher_maps
    ).teacher_maps
    network = unwrap(teacher)
    paths = _stage_paths(network, teacher_maps)
    for name, path in paths.items():
        if len(shapes[name]) != 3:
            raise DoesNotFitError(
                f"4ds adapts maps of channels × height × width, received {name!r} of shape {shapes[name]}: use a "
                "convolutional teacher, or name other maps"
            )
        channels = shapes[name][0]
        stage = AdaptedStage(network.get_submodule(path), FourierAdapter(channels, theta=theta), channels)
        network.set_submodule(path, stage)
    _follow(network, tuple(paths.values()))
    return teacher


def _stage_paths(network: nn.Module, names: Sequence[str]) -> dict[str, str]:
    """Return name → module of the maps but the first; raise unless adapters can follow them."""
    paths, modules = {name: map_path(network, name) for name in names}, dict(network.named_modules())
    reasons = [f"{name!r} is not the output of a module" for name in names[1:] if paths[name] not in modules]
    for one, other in itertools.permutations(names, 2):
        if paths[one].startswith(f"{paths[other]}."):
            reasons.append(f"{one!r} is inside {other!r}")
        elif paths[one] == paths[other]:
            reasons.append(f"{other!r} and {one!r} are the same module")
    if reasons:
        raise DoesNotFitError(
            f"4ds adds an adapter after each stage of the teacher, but {reasons[0]}: name modules whose outputs are "
            "the stages with --teacher-maps"
        )
    return {name: paths[name] for name in names[1:]}


def _follow(network: nn.Module, paths: Sequence[str]) -> None:
    """Let addresses that the network states of modules inside its stages lead to where these are now."""

    def moved(address: str) -> str:
        inside = next((path for path in paths if address.startswith(f"{path}.")), None)
        return address if inside is None else f"{inside}.stage{address.removeprefix(inside)}"

    if isinstance(network, StatesMaps):
        network.map_paths = {name: moved(address) for name, address in network.map_paths.items()}
    if isinstance(network, StatesPreactivations):
        network.preactivation_paths = {name: moved(one) for name, one in network.preactivation_paths.items()}


class PhaseGate(FullPrecisionModule):
    """Return the gate of each channel from the teacher's phases: m = sigmoid(W₂ ReLU(W₁ mean(Φ_T))).

    W₁: ΣC → ΣC/16 and W₂: ΣC/16 → ΣC are without bias. Over the bins of a real map the phases nearly cancel, so that
    the gate is close to ½.

    Args:
        channels: ΣC, of all stages.

    >>> PhaseGate(32)(torch.zeros(2, 32, 4, 4)).unique()
    tensor([0.5000], grad_fn=...)
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = max(1, channels // REDUCTION)
        self.squeeze = nn.Linear(channels, inner, bias=False)
        self.excite = nn.Linear(inner, channels, bias=False)

    def forward(self, phases: Tensor) -> Tensor:
        """Return m, B×ΣC, of the fused phases of the teacher, B×ΣC×h×w."""
        with autocast_off(phases):
            pooled = in_precision_of(self, phases.mean(dim=(2, 3)))
            return self.excite(self.squeeze(pooled).relu()).sigmoid()


class FourDsTerm(Term):
    r"""4Ds: τ² KL from the adapted teacher plus `feature_weight` times the difference of phases.

    L = τ² KL(σ(z_T/τ) ‖ σ(z_S/τ)) + 0.1 · phase_feature_loss(Φ_S, Φ_T, gate(Φ_T))

    Φ_T are the phases of the teacher's stages before their adapters. The adapters learn CE(z_T, y) + τ² KL(σ(z_S/τ) ‖
    σ(z_T/τ)) by AdamW (1e-3, cosine to 0). Tang et al., ECCV 2024. The teacher must come from `adapt_teacher`.

    Args:
        name: of the term.
        setting: with the adapted teacher and the maps of both networks.
        feature_weight: of the difference of phases; 0 leaves it out, and then stages need not have equal channels.
        temperature: τ, above 0.
        wrap: compare phases on the circle (our addition), see `losses.phase_feature_loss`.
        teacher_lr: learning rate of the adapters at first; 0 leaves them as they are.
        teacher_mode: mode of the teacher's own layers; train, as in the authors' code, normalizes by the batch.

    Raises:
        DoesNotFitError: the stages of both networks differ in shape, or the last one is below 3×3.
    """

    needs = Needs(same_classes=True, exclusive=True, labels=True)

    def __init__(
        self,
        name: str,
        setting: Setting,
        *,
        feature_weight: float = 0.1,
        temperature: float = 4.0,
        wrap: bool = False,
        teacher_lr: float = 1e-3,
        teacher_mode: Literal["train", "eval"] = "train",
    ) -> None:
        super().__init__()
        require_number("feature_weight", feature_weight, low=0)
        require_positive("temperature", temperature)
        require_bool("wrap", wrap)
        require_number("teacher_lr", teacher_lr, low=0)
        require_choice("teacher_mode", teacher_mode, ("train", "eval"))
        self.feature_weight, self.temperature, self.wrap = feature_weight, temperature, wrap
        self.teacher_training = TeacherTraining("adamw", lr=teacher_lr, eps=1e-4, mode=teacher_mode)
        self.recognition = CETerm("ce", setting)
        self.needs = replace(self.needs, whole_batch=self.recognition.needs.whole_batch)
        self.diagnostics = ("4ds_kd",)
        _require_adapters(name, setting)
        if feature_weight:
            pairs = _stage_pairs(name, setting)
            self.student_map_names = tuple(pair.student for pair in pairs)
            self.teacher_map_names = tuple(_phase_address(name, setting, pair.teacher) for pair in pairs)
            self.phase_gate = PhaseGate(sum(pair.student_shape[0] for pair in pairs))
            self.diagnostics = ("4ds_kd", "4ds_phase", "4ds_gate")
            self.notes = _notes(pairs)

    def forward(self, student: Features, teacher: Features, batch: Batch) -> Tensor:
        """Return the loss of one batch."""
        kd = kd_loss(student.logits, teacher.logits, temperature=self.temperature)
        if not self.feature_weight:
            self.measured = {"4ds_kd": kd.detach()}
            return kd
        student_phases = [phase_amplitude(student.maps[name])[0] for name in self.student_map_names]
        with torch.no_grad():
            teacher_phases = [teacher.maps[name] for name in self.teacher_map_names]
            fused = fuse_phases(teacher_phases)
        gate = self.phase_gate(fused)
        phase = phase_feature_loss(student_phases, teacher_phases, gate, wrap=self.wrap)
        self.measured = {"4ds_kd": kd.detach(), "4ds_phase": phase.detach(), "4ds_gate": gate.detach().mean()}
        return kd + self.feature_weight * phase

    def teach(self, student: Features, teacher: Features, batch: Batch) -> Tensor:
        """Return the loss of the adapters."""
        learned = kd_loss(teacher.logits, student.logits, temperature=self.temperature)
        return self.recognition(teacher, student, batch) + learned


def _require_adapters(name: str, setting: Setting) -> None:
    if setting.teacher is None or not any(isinstance(module, AdaptedStage) for module in setting.teacher.modules()):
        received = "none" if setting.teacher is None else type(unwrap(setting.teacher)).__name__
        raise UsageError(
            f"{name} trains adapters inside the teacher, received {received} without them: make it with "
            f"adapt_teacher({name!r}, teacher, student)"
        )


def _phase_address(name: str, setting: Setting, map_name: str) -> str:
    """Return the address of the phase of a stage's map before its adapter, which the adapter computes."""
    network = unwrap(setting.teacher) if setting.teacher is not None else nn.Module()
    path = map_path(network, map_name)
    if not isinstance(network.get_submodule(path), AdaptedStage):
        raise UsageError(
            f"{name}: the teacher's map {map_name!r} has no adapter: give adapt_teacher these teacher_maps"
        )
    return f"{path}.adapter.phase"


def _stage_pairs(name: str, setting: Setting) -> list[MapPair]:
    """Return the pairs of stages; raise if their phases cannot be compared."""
    pairs = spatial_pairs(name, setting)
    channels, others = [p.student_shape[0] for p in pairs], [p.teacher_shape[0] for p in pairs]
    if channels != others:
        raise DoesNotFitError(
            f"{name} compares the phases of stages of equal channels, received {channels} of the student and {others} "
            f"of the teacher: choose networks of one family, or --set {name}.feature_weight=0"
        )
    sizes, other_sizes = [p.student_shape[1:] for p in pairs], [p.teacher_shape[1:] for p in pairs]
    if sizes != other_sizes:
        raise DoesNotFitError(
            f"{name} compares the phases of stages of equal size, received {sizes} of the student and {other_sizes} of "
            f"the teacher: give both the same input size, or --set {name}.feature_weight=0"
        )
    if min(sizes[-1]) < SMALLEST:
        height, width = sizes[-1]
        raise DoesNotFitError(
            f"{name} compares phases, which say nothing in a last map of {height}×{width}: use larger pictures, so "
            f"that it has {SMALLEST}×{SMALLEST} or more, or --set {name}.feature_weight=0"
        )
    return pairs


def _notes(pairs: Sequence[MapPair]) -> tuple[str, ...]:
    """Return a note on a last map in which few bins have a phase other than 0 and π."""
    height, width = pairs[-1].student_shape[1:]
    if min(height, width) > SMALL:
        return ()
    bins, real = height * width, (2 - height % 2) * (2 - width % 2)
    return (
        f"the last maps are {height}×{width}: {bins - real} of {bins} bins have a phase other than 0 and π; larger "
        "pictures have more",
    )
