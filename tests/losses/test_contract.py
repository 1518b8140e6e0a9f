"""What every loss owes, row by row of the table: its value, its gradient, its precision, its limits and its errors."""

import math
from typing import Any

import pytest
import torch
from tests.support.loss_contract import (
    CONSTANT,
    LABELS,
    Contract,
    Inputs,
    each,
    features,
    floats,
    random_features,
    tensors,
)
from tests.support.loss_table import LOSSES
from torch import Tensor

from wcord import losses
from wcord.checks import UsageError

SPECIAL = {"CRDLoss", "GCKTLoss", "LCKTLoss", "WCoRDLoss"}
"""Losses that train a critic or a map of their own, most beside memories of former batches: see their own files."""
ALL = [pytest.param(row, id=name) for name, row in LOSSES.items()]
ERRORS = [
    pytest.param(row, *error, id=f"{name}-{error[1][:40]}") for name, row in LOSSES.items() for error in row.errors
]
OPTIONS = [
    pytest.param(row, options, id=f"{name}-" + ",".join(f"{key}={value}" for key, value in options.items()))
    for name, row in LOSSES.items()
    if row.naive
    for options in row.options
]


def test_every_loss_has_a_row() -> None:
    public = {name for name in vars(losses) if name.endswith(("_loss", "Loss"))}
    assert (
        public - {name.partition(" ")[0] + suffix for name in LOSSES for suffix in ("_loss", "Loss")}
        == SPECIAL & public
    )


@pytest.mark.parametrize(("row", "options"), OPTIONS)
def test_is_the_naive_loop(row: Contract, options: Inputs) -> None:
    inputs = row.inputs()
    assert row.naive is not None
    expected = row.naive(*inputs.values(), **(row.defaults or {}) | options)
    assert row.loss(**inputs, **options).item() == pytest.approx(expected, rel=row.rel)


@pytest.mark.parametrize("row", [pytest.param(row, id=name) for name, row in LOSSES.items() if row.public])
def test_is_the_public_code(row: Contract) -> None:
    for change, options, expected in row.public:
        assert row.loss(**row.inputs() | change, **options).item() == pytest.approx(expected, rel=row.rel)


@pytest.mark.parametrize("row", ALL)
def test_gradcheck_and_no_gradient_into_the_teacher(row: Contract) -> None:
    inputs = (row.small or row.inputs)()
    inputs |= floats(
        lambda x: x.clone().requires_grad_(), {name: inputs[name] for name in inputs if name not in LABELS}
    )
    names = [*features(inputs)[: 2 if row.trains_teacher else 1], *row.trains]
    sides = [x for name in names for x in _listed(inputs[name])]

    def of(options: Inputs, *moving: Tensor) -> Tensor:
        given, values = dict(inputs), iter(moving)
        for name in names:
            given[name] = each(lambda _: next(values), {name: inputs[name]})[name]
        return row.loss(**given, **options)

    for options in row.gradcheck:
        assert torch.autograd.gradcheck(lambda *moving, options=options: of(options, *moving), sides)
    row.loss(**inputs).backward()
    assert all(x.grad is not None and x.grad.isfinite().all() for x in sides)
    others = [x for name, value in inputs.items() if name not in names for x in _listed(value)]
    assert all(x.grad is None for x in others)


@pytest.mark.parametrize("row", ALL)
def test_half_precision_is_computed_in_single(row: Contract) -> None:
    inputs = row.inputs()
    half = each(lambda x: x.bfloat16(), inputs, *features(inputs))
    half = floats(lambda x: x.float() if x.dtype == torch.float64 else x, half)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = row.loss(**half)
    assert loss.dtype == torch.float32
    assert torch.equal(loss, row.loss(**floats(lambda x: x.float(), half)))
    assert row.loss(**inputs).dtype == torch.float64
    student = features(inputs)[0]
    assert row.loss(**each(lambda x: x.float(), inputs, student)).dtype == row.precision


@pytest.mark.parametrize("row", ALL)
def test_value_and_gradient_are_finite_on_degenerate_inputs(row: Contract) -> None:
    seen = 0
    for name, case in row.degenerate():
        for options in row.extreme_options:
            moving = [features(case)[0], *row.trains]
            inputs = each(lambda x: x.clone().requires_grad_(), case, *moving)
            loss = row.loss(**inputs, **options)
            loss.backward()
            sides = [x for name in moving for x in _listed(inputs[name])]
            gradients = torch.cat([x.grad.flatten() for x in sides if x.grad is not None])
            assert loss.isfinite(), (name, options)
            assert gradients.isfinite().all(), (name, options)
            assert gradients.abs().max() <= row.gradient_bound, (name, options)
            if row.zero is not None and _sides_are_equal(case):
                assert abs(loss.item()) <= row.zero, (name, options)
            seen += 1
    assert seen > 0


@pytest.mark.parametrize("row", [pytest.param(row, id=name) for name, row in LOSSES.items() if row.symmetries])
def test_symmetries_and_bounds_hold_for_random_features(row: Contract) -> None:
    for seed in range(8):
        generator = torch.Generator().manual_seed(seed)
        inputs = random_features(row.inputs(), generator)
        plain = row.loss(**inputs, **row.symmetry_options)
        assert row.bounds[0] <= plain.item() <= row.bounds[1]
        for symmetry in row.symmetries:
            moved = row.loss(**symmetry(inputs, generator), **row.symmetry_options)
            close = torch.allclose(moved, plain, rtol=row.symmetry_rtol, atol=row.symmetry_rtol)
            assert close, (symmetry.__name__, seed, moved.item(), plain.item())
        if row.degree is not None:
            scaled = row.loss(**each(lambda x: 3 * x, inputs, *features(inputs), "margin"))
            torch.testing.assert_close(scaled, 3.0**row.degree * plain)


@pytest.mark.parametrize("row", ALL)
def test_one_sample_is_a_batch_or_refused(row: Contract) -> None:
    inputs = row.first(row.inputs(), 1)
    if row.least_batch > 1:
        with pytest.raises(UsageError, match=f"needs a batch of at least {row.least_batch}, received 1"):
            row.loss(**inputs)
    elif row.naive is not None:
        options = row.options[0]
        expected = row.naive(*inputs.values(), **(row.defaults or {}) | options)
        assert row.loss(**inputs, **options).item() == pytest.approx(expected, rel=row.rel)
    else:
        assert row.loss(**inputs).isfinite()


@pytest.mark.parametrize("row", ALL)
def test_features_of_a_wrong_shape_are_refused(row: Contract) -> None:
    inputs = row.inputs()
    for name in features(inputs):
        flat = each(lambda x: x.flatten()[: len(x)], inputs, name)
        with pytest.raises(UsageError, match=rf"{name}.* must be {row.rank}"):
            row.loss(**flat)
    last = [name for name in inputs if name in features(inputs) or name == "target"][-1]
    rows = len(_listed(inputs[last])[0])
    messages = (
        f"the same samples, received {rows} and {rows - 1}",
        "the same shape|shares of shape",
        "a row for each of three turned views",
        rf"gate must be B×ΣC, here \({rows},",
    )
    with pytest.raises(UsageError, match="|".join(messages)):
        row.loss(**each(lambda x: x[:-1], inputs, last))


@pytest.mark.parametrize("row", [pytest.param(row, id=name) for name, row in LOSSES.items() if row.refuses_nan])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_values_that_are_not_finite_are_refused(row: Contract, value: float) -> None:
    inputs = row.inputs()
    for name in (name for name in inputs if name not in CONSTANT or name == "margin"):
        broken = each(lambda x: torch.full_like(x, value), inputs, name)
        first, tensor = next((label, x) for label, x in tensors(broken) if label.startswith(name))
        message = rf"{first.replace('[', '.').replace(']', '.')} holds {tensor.numel()} values that are NaN or infinite"
        with pytest.raises(UsageError, match=message):
            row.loss(**broken)


@pytest.mark.parametrize(("row", "change", "message"), ERRORS)
def test_errors(row: Contract, change: Inputs, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        row.loss(**row.inputs() | change)


def _listed(value: Any) -> list[Tensor]:
    return [value] if isinstance(value, Tensor) else list(value)


def _sides_are_equal(inputs: Inputs) -> bool:
    students = [name for name in inputs if name.startswith("student")]
    return bool(students) and all(
        torch.equal(a, b)
        for name in students
        for a, b in zip(_listed(inputs[name]), _listed(inputs[name.replace("student", "teacher")]), strict=True)
    )
