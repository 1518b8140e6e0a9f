"""Values of the authors' code, or of an independent reference, that lie beside the project and not in it."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor


def golden(name: str) -> Mapping[str, Tensor]:
    """Return the arrays of `golden/public_NAME.npz` as tensors; skip the test where no parent folder has them.

    Numbers with a fraction are in double precision.

    >>> sorted(golden("apt"))[:2]
    ['arc_embedding', 'arc_loss_s30_m0.35']
    """
    places = [parent / "shared" / "golden" / f"public_{name}.npz" for parent in Path(__file__).resolve().parents]
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        pytest.skip(f"golden/public_{name}.npz does not lie beside the project")
    with np.load(path) as arrays:
        tensors = {key: torch.from_numpy(np.array(arrays[key])) for key in arrays.files}
    return {key: value.double() if value.is_floating_point() else value for key, value in tensors.items()}


def golden_case(name: str, case: str) -> dict[str, Tensor]:
    """Return the arrays of one case, under their names without it."""
    prefix = f"{case}."
    return {key.removeprefix(prefix): value for key, value in golden(name).items() if key.startswith(prefix)}
