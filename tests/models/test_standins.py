import argparse
import collections
import dataclasses
import datetime
import enum
import pathlib
import types

import numpy as np
import pytest
import torch
from torch import nn

from wcord.checks import UsageError
from wcord.models.reading import read_states
from wcord.models.standins import stand_in

STATE = {"fc.weight": torch.ones(2, 3)}
RUN: list[str] = []


class AttributeDict(dict):
    """As Lightning and yacs keep their settings."""

    def __setstate__(self, state):
        RUN.append("settings")


@dataclasses.dataclass
class Arguments:
    rate: float = 0.1


class Phase(enum.Enum):
    TRAIN = 1


class Listed(list):
    pass


class Slotted:
    __slots__ = ("value",)

    def __init__(self):
        self.value = 1


def scheduler():
    return torch.optim.lr_scheduler.StepLR(torch.optim.SGD(nn.Linear(1, 1).parameters(), 0.1), 2)


BESIDE = {
    "namespace": argparse.Namespace(rate=0.1, out=pathlib.Path("a"), best=np.float32(1), inner=argparse.Namespace(x=1)),
    "float": np.float64(93.2),
    "integer": np.int64(3),
    "truth": np.bool_(True),
    "array": np.arange(5),
    "objects": np.array(["a", None], dtype=object),
    "dtype": np.dtype("float32"),
    "path": pathlib.PurePosixPath("a/b"),
    "windows path": pathlib.PureWindowsPath("a"),
    "defaultdict": collections.defaultdict(list, a=[1]),
    "deque": collections.deque([1, 2]),
    "counter": collections.Counter("ab"),
    "date": datetime.datetime(2024, 1, 1),
    "simple namespace": types.SimpleNamespace(a=1),
    "settings": AttributeDict(a=1, b=AttributeDict(c=2)),
    "dataclass": Arguments(),
    "enumeration": Phase.TRAIN,
    "list": Listed([1, 2]),
    "slots": Slotted(),
    "generator": np.random.get_state(),  # noqa: NPY002  # as scripts save it
    "scheduler": scheduler(),
    "version": torch.__version__,
    "type": int,
}


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("name", BESIDE)
def test_what_lies_beside_the_weights_is_passed_over(tmp_path, name, zipped):
    before = set(torch.serialization.get_safe_globals())
    content = {"state_dict": STATE, "beside": BESIDE[name], name: [BESIDE[name]]}
    torch.save(content, tmp_path / "a.pth", _use_new_zipfile_serialization=zipped)
    assert torch.equal(read_states(tmp_path / "a.pth")["state_dict"]["fc.weight"], STATE["fc.weight"])
    assert set(torch.serialization.get_safe_globals()) == before
    assert not RUN


def test_weights_in_settings_are_found(tmp_path):
    torch.save(AttributeDict(model=AttributeDict(STATE)), tmp_path / "a.pth")
    assert read_states(tmp_path / "a.pth")["model"].keys() == STATE.keys()


class Call:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def explode(path):
    pathlib.Path(path).touch()


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(
    ("function", "more"), [(explode, ()), (eval, ()), (getattr, ("parent",)), (np.save, ([1],)), (pathlib.os.mkdir, ())]
)
def test_calls_are_refused_and_not_made(tmp_path, function, more, zipped):
    called = Call(function, str(tmp_path / "done"), *more)
    torch.save({"model": STATE, "x": called}, tmp_path / "a.pth", _use_new_zipfile_serialization=zipped)
    before = set(torch.serialization.get_safe_globals())
    with pytest.raises(UsageError, match="is refused: reading it would run code that it names") as caught:
        read_states(tmp_path / "a.pth")
    assert function.__name__ in str(caught.value)
    assert not list(tmp_path.glob("done*"))
    assert set(torch.serialization.get_safe_globals()) == before


@pytest.mark.parametrize("name", ["os.system", "subprocess.Popen", "builtins.eval", "builtins.getattr"])
def test_the_standard_library_is_refused_but_for_data(name):
    assert stand_in(name, mappings=True) is None
