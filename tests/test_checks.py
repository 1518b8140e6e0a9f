"""Every check is silent on what is right, and says what was wrong, what was received and how to mend it."""

import math
import subprocess
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from wcord import checks
from wcord.checks import NonFiniteError, RunError, UsageError


def test_kinds_of_error():
    assert issubclass(UsageError, ValueError)
    assert issubclass(NonFiniteError, UsageError)
    assert issubclass(RunError, RuntimeError)
    assert not issubclass(RunError, ValueError)


def test_importing_checks_does_not_import_torch():
    code = "import sys, wcord.checks; raise SystemExit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_unknown_offers_the_nearest_name_and_lists_all():
    error = checks.unknown("model", "resnt20", ["wrn_16_2", "resnet20"])
    assert str(error) == "unknown model 'resnt20': did you mean 'resnet20'? Known: resnet20, wrn_16_2"
    assert isinstance(error, UsageError)


def test_unknown_offers_nothing_where_nothing_is_near():
    assert str(checks.unknown("model", "zzz", ["kd", "crd"])) == "unknown model 'zzz': Known: crd, kd"


@given(st.sampled_from(["kd", "crd", "wcord"]))
def test_choice_among_the_known_passes(name):
    checks.require_choice("method", name, (known for known in ["kd", "crd", "wcord"]))


def test_choice_that_is_not_known_raises():
    with pytest.raises(UsageError, match="unknown method 'kdd': did you mean 'kd'"):
        checks.require_choice("method", "kdd", (known for known in ["kd", "crd"]))


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_positive(value):
    if math.isfinite(value) and value > 0:
        checks.require_positive("x", value)
    else:
        with pytest.raises(UsageError, match="x must be a finite number above 0, received"):
            checks.require_positive("x", value)


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_fraction(value):
    if 0 <= value <= 1:
        checks.require_fraction("x", value)
    else:
        with pytest.raises(UsageError, match="x must lie between 0 and 1, received"):
            checks.require_fraction("x", value)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_matrix_of_any_precision_passes(dtype):
    checks.require_matrix("x", torch.zeros(2, 3, dtype=dtype), min_rows=2)


def test_matrix():
    with pytest.raises(TypeError, match=r"x must hold floating-point numbers, received torch\.int64: convert it"):
        checks.require_matrix("x", torch.zeros(2, 3, dtype=torch.long))
    with pytest.raises(UsageError, match=r"x must be a matrix \(batch × features\), received shape \(2, 3, 4\)"):
        checks.require_matrix("x", torch.zeros(2, 3, 4))
    with pytest.raises(UsageError, match="x needs a batch of at least 2, received 1: use a larger batch"):
        checks.require_matrix("x", torch.zeros(1, 3), min_rows=2)


def test_same_shape_and_same_rows():
    checks.require_same_shape("x", torch.zeros(2, 3), "y", torch.zeros(2, 3))
    with pytest.raises(UsageError, match=r"x and y must have the same shape, received \(2, 3\) and \(2, 4\)"):
        checks.require_same_shape("x", torch.zeros(2, 3), "y", torch.zeros(2, 4))
    checks.require_same_rows("x", torch.zeros(2, 3), "y", torch.zeros(2, 9))
    with pytest.raises(UsageError, match="x and y must hold the same samples, received 2 and 3 rows"):
        checks.require_same_rows("x", torch.zeros(2, 3), "y", torch.zeros(3, 3))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_finite(bad):
    checks.require_finite("x", torch.zeros(2, 3))
    with pytest.raises(NonFiniteError, match="x holds 1 values that are NaN or infinite: check what produced it"):
        checks.require_finite("x", torch.tensor([0.0, bad]))


def test_finite_does_not_ask_an_accelerator():
    checks.require_finite("x", torch.full((2,), math.nan, device="meta"))
