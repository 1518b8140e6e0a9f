"""What the user's own functions raise is said with their name, whoever's code they called on the way."""

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch

from wcord.models.create import create_model
from wcord.own_code import of_own_code, said_by

CODE = """
import torch
from torch import nn


class Net(nn.Module):
    def forward(self, x):
        return x @ x


def outer():
    def inner():
        raise KeyError("deep")
    inner()


def leaves():
    raise SystemExit("so long")
"""


@pytest.fixture
def own(tmp_path: Path) -> ModuleType:
    path = tmp_path / "mine.py"
    path.write_text(CODE)
    spec = importlib.util.spec_from_file_location("mine", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def error_of(call: Callable[[], object]) -> BaseException:
    try:
        call()
    except BaseException as error:
        error.__traceback__ = error.__traceback__ and error.__traceback__.tb_next  # without this file
        return error
    raise AssertionError("nothing was raised")


def test_the_innermost_function_of_the_user_is_named(own: ModuleType) -> None:
    assert of_own_code(error_of(own.outer)) == "inner (mine.py, line 13) raised KeyError: 'deep'"
    assert of_own_code(error_of(own.leaves)) == "leaves (mine.py, line 18) called sys.exit('so long')"


def test_an_error_of_a_library_is_its_caller_s(own: ModuleType) -> None:
    error = error_of(lambda: own.Net()(torch.zeros(2, 3)))
    error.__traceback__ = error.__traceback__ and error.__traceback__.tb_next
    said = of_own_code(error)
    assert said is not None
    assert said.startswith("Net.forward (mine.py, line 8) raised RuntimeError: mat1 and mat2 shapes")


def test_errors_of_libraries_and_of_wcord_are_nobody_s() -> None:
    for call in (lambda: torch.zeros(2).view(3), lambda: create_model("resnet9"), lambda: json.loads("{")):
        error = error_of(call)
        error.__traceback__ = error.__traceback__ and error.__traceback__.tb_next
        assert of_own_code(error) is None
    assert of_own_code(ValueError("never raised")) is None


def test_long_and_empty_messages() -> None:
    assert said_by(ValueError("a\n  b")) == "ValueError: a b"
    assert said_by(ValueError("x" * 500)).endswith("x…")
    assert said_by(SystemExit(None)) == "sys.exit(None)"
