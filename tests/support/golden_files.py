"""Values that the authors' code gave, in files beside the project; tests of them are skipped where there are none."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor


@cache
def golden(name: str) -> dict[str, Tensor]:
    """Return the arrays of `shared/golden/public_NAME.npz`, floating point in double precision.

    Args:
        name: of the file, such as "sskd".
    """
    for folder in Path(__file__).parents:
        path = folder / "shared" / "golden" / f"public_{name}.npz"
        if path.is_file():
            with np.load(path) as arrays:
                tensors = {key: torch.from_numpy(np.asarray(arrays[key])) for key in arrays.files}
            return {key: value.double() if value.is_floating_point() else value for key, value in tensors.items()}
    pytest.skip(f"shared/golden/public_{name}.npz is not beside this repository")


def case_of(name: str, case: str) -> dict[str, Tensor]:
    """Return the arrays of one case of a file, by their names without it."""
    prefix = f"{case}."
    return {key.removeprefix(prefix): value for key, value in golden(name).items() if key.startswith(prefix)}
