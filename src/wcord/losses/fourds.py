"""Phases of maps compared under a gate (4Ds: Tang et al., ECCV 2024)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from wcord.checks import UsageError, require_bool, require_finite, require_kind, require_matrix
from wcord.losses.maps import require_map
from wcord.numerics import autocast_off, full_precision, in_common_precision

FLOOR = 1e-5
"""Real parts, and squared amplitudes, of a smaller magnitude are set to this, so that the gradient is bounded."""


def phase_amplitude(map: Tensor) -> tuple[Tensor, Tensor]:
    r"""Return phase and amplitude of a map's spectrum.

    F = FFT2(x), not normalized, full spectrum;  P = atan2(Im F, g(Re F)),  A = √g((Re F)² + (Im F)²)

    g replaces a number of magnitude below 1e-5 by +1e-5. So the smallest amplitude is √1e-5 = 0.0032, and the gradient
    of a bin is at most 1e5. Tang et al., ECCV 2024; the guards are those of the authors' code.

    Args:
        map: x, B×C×H×W.

    Returns:
        P in [−π, π] and A, both B×C×H×W, in at least single precision.

    Raises:
        UsageError: on another shape.

    >>> phase, amplitude = phase_amplitude(torch.tensor([[[[1.0, -1.0], [0.0, 0.0]]]]))
    >>> phase.flatten(), amplitude.flatten()
    (tensor([0., 0., 0., 0.]), tensor([0.0032, 2.0000, 0.0032, 2.0000]))
    """
    require_map("map", map)
    with autocast_off(map):
        spectrum = torch.fft.fft2(full_precision(map))
        real, imaginary = spectrum.real, spectrum.imag
        phase = torch.atan2(imaginary, _guarded(real))
        return phase, _guarded(real.square() + imaginary.square()).sqrt()


def recompose(phase: Tensor, amplitude: Tensor) -> Tensor:
    r"""Return the map of a phase and an amplitude: Re IFFT2(A · e^{iP}).

    Args:
        phase: P, B×C×H×W.
        amplitude: A, B×C×H×W.

    Returns:
        B×C×H×W, in at least single precision; up to the guards, the inverse of `phase_amplitude`.

    Raises:
        UsageError: on shapes that do not fit.

    >>> x = torch.tensor([[[[1.0, -1.0, 2.0], [0.0, 3.0, 0.5]]]])
    >>> torch.allclose(recompose(*phase_amplitude(x)), x, atol=1e-2)
    True
    """
    require_map("phase", phase)
    require_map("amplitude", amplitude)
    if phase.shape != amplitude.shape:
        raise UsageError(
            f"phase and amplitude must be of one map, received {tuple(phase.shape)} and {tuple(amplitude.shape)}"
        )
    with autocast_off(phase):
        angle, size = in_common_precision(phase, amplitude)
        return torch.fft.ifft2(torch.complex(size * angle.cos(), size * angle.sin())).real


def fuse_phases(phases: Sequence[Tensor]) -> Tensor:
    """Return the phases of all stages side by side: all but the last are average-pooled to its height and width.

    Args:
        phases: from the first stage to the last, each B×C×H×W.

    Returns:
        B×ΣC×h×w, with h×w of the last.

    >>> fuse_phases([torch.zeros(2, 4, 8, 8), torch.zeros(2, 6, 3, 3)]).shape
    torch.Size([2, 10, 3, 3])
    """
    size = phases[-1].shape[2:]
    pooled = [F.adaptive_avg_pool2d(phase, (size[0], size[1])) for phase in phases[:-1]]
    return torch.cat([*pooled, phases[-1]], dim=1)


def phase_feature_loss(
    student_phases: Sequence[Tensor], teacher_phases: Sequence[Tensor], gate: Tensor, *, wrap: bool = False
) -> Tensor:
    r"""Return the squared difference of both networks' phases, each channel under its gate.

    1 / (B·ΣC·h·w) Σ_{i,c,p} (m_ic Φ_S,icp − m_ic Φ_T,icp)²

    with Φ the phases of all stages, average-pooled to the last one's h×w, side by side, and m `gate`. Tang et al., ECCV
    2024. An angle has no beginning, but this difference is largest between angles just below π and just above −π. With
    `wrap` (our addition), the difference of two phases is 2 − 2 cos(Φ_S − Φ_T), which is Φ's squared difference where
    that is small; it is taken in each bin and then pooled.

    The teacher is detached.

    Args:
        student_phases: from the first stage to the last, each B×C×H×W, as `phase_amplitude` returns them.
        teacher_phases: as many, with the same channels; with `wrap`, of the same shapes.
        gate: m, B×ΣC.
        wrap: compare angles on the circle.

    Returns:
        A scalar, in at least single precision.

    Raises:
        UsageError: on phases or a gate that do not fit each other.

    >>> student, teacher = [torch.full((1, 2, 3, 3), 3.0)], [torch.full((1, 2, 3, 3), -3.0)]
    >>> phase_feature_loss(student, teacher, torch.ones(1, 2))
    tensor(36.)
    >>> phase_feature_loss(student, teacher, torch.ones(1, 2), wrap=True)
    tensor(0.0797)
    """
    require_bool("wrap", wrap)
    _require_phases(student_phases, teacher_phases, gate, wrap=wrap)
    with autocast_off(gate):
        *phases, weights = in_common_precision(*student_phases, *(phase.detach() for phase in teacher_phases), gate)
        student, teacher = phases[: len(student_phases)], phases[len(student_phases) :]
        if wrap:
            apart = fuse_phases([2 - 2 * (s - t).cos() for s, t in zip(student, teacher, strict=True)])
        else:
            apart = (fuse_phases(student) - fuse_phases(teacher)).square()
        return (weights.square()[:, :, None, None] * apart).mean()


def _guarded(values: Tensor) -> Tensor:
    return torch.where(values.abs() < FLOOR, torch.full_like(values, FLOOR), values)


def _require_phases(student: Sequence[Tensor], teacher: Sequence[Tensor], gate: Tensor, *, wrap: bool) -> None:
    for name, phases in (("student_phases", student), ("teacher_phases", teacher)):
        require_kind(name, phases, (list, tuple), "a list of phases, one for each stage")
        for stage, phase in enumerate(phases):
            require_map(f"{name}[{stage}]", phase)
    shapes, others = ([tuple(phase.shape) for phase in phases] for phases in (student, teacher))
    # Stages that are pooled before they are compared may differ in height and width.
    rows, rows_of_other = ([shape if wrap else shape[:2] for shape in both] for both in (shapes, others))
    if not shapes or rows != rows_of_other or shapes[-1] != others[-1]:
        raise UsageError(
            f"student_phases and teacher_phases must be of the same stages, received shapes {shapes} and {others}"
        )
    require_matrix("gate", gate)
    require_finite("gate", gate)
    expected = (shapes[0][0], sum(shape[1] for shape in shapes))
    if tuple(gate.shape) != expected:
        raise UsageError(f"gate must be B×ΣC, here {expected}, received {tuple(gate.shape)}")
