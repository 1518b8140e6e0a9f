import argparse
import collections
import dataclasses
import datetime
import enum
import os
import pathlib
import pickle
import types
from collections import OrderedDict

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from wcord.checks import UsageError
from wcord.models.reading import read_states, stand_in

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


STATE = {"fc.weight": torch.ones(2, 3), "fc.bias": torch.zeros(2)}


@pytest.mark.parametrize(
    ("content", "place"),
    [
        (STATE, ""),
        (OrderedDict(STATE), ""),
        ({"model": STATE, "epoch": 3}, "model"),
        ({"state_dict": STATE, "optimizer": {"lr": 0.1}}, "state_dict"),
        ({"epoch": 3, "model": {"state_dict": STATE}}, "model.state_dict"),
        ({"whatever": STATE, "acc": 71.2}, "whatever"),
    ],
)
@pytest.mark.parametrize("zipped", [True, False])
def test_finds_the_state_dict(tmp_path, content, place, zipped):
    torch.save(content, tmp_path / "a.pth", _use_new_zipfile_serialization=zipped)
    states = read_states(tmp_path / "a.pth")
    assert list(states) == [place]
    assert list(states[place]) == list(STATE)
    assert torch.equal(states[place]["fc.weight"], STATE["fc.weight"])


def test_all_of_several_are_found(tmp_path):
    torch.save({"model": STATE, "model_ema": STATE, "epoch": torch.tensor(3)}, tmp_path / "a.pth")
    assert list(read_states(tmp_path / "a.pth")) == ["", "model", "model_ema"]


def test_reads_safetensors(tmp_path):
    save_file(STATE, tmp_path / "a.safetensors")
    assert read_states(tmp_path / "a.safetensors")[""].keys() == STATE.keys()


@pytest.mark.parametrize("name", ["a.pth", "old.pth", "a.safetensors"])
@pytest.mark.parametrize("kept", [1, 10, 60, 0.5, 0.97])
def test_truncated(tmp_path, name, kept):
    path = tmp_path / name
    if name.endswith("pth"):
        torch.save(STATE, path, _use_new_zipfile_serialization=name == "a.pth")
    else:
        save_file(STATE, path)
    content = path.read_bytes()
    path.write_bytes(content[: kept if isinstance(kept, int) else int(kept * len(content))])
    with pytest.raises(UsageError, match=r"is truncated, damaged or no weights file .*: copy or download it") as caught:
        read_states(path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400 + len(str(path))


@pytest.mark.parametrize("content", [b"<html>not found</html>", bytes(range(256)) * 20, b"\x80\x02}q\x00."])
def test_no_weights_file(tmp_path, content):
    path = tmp_path / "a.pth"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"damaged or no weights file|holds no state dict"):
        read_states(path)


def test_missing_empty_and_folder(tmp_path):
    with pytest.raises(UsageError, match=r"weights file .* does not exist"):
        read_states(tmp_path / "absent.pth")
    with pytest.raises(UsageError, match=r"is a folder"):
        read_states(tmp_path)
    (tmp_path / "empty.pth").touch()
    with pytest.raises(UsageError, match=r"is empty"):
        read_states(tmp_path / "empty.pth")


@pytest.mark.parametrize("content", [{}, {"epoch": 3}, [1, 2], {"model": {}}])
def test_nothing_in_it(tmp_path, content):
    torch.save(content, tmp_path / "a.pth")
    with pytest.raises(UsageError, match=r"holds no state dict"):
        read_states(tmp_path / "a.pth")


class Sly:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("writer", [torch.save, lambda content, path: path.write_bytes(pickle.dumps(content, 2))])
def test_code_is_refused_and_not_run(tmp_path, writer):
    writer({"model": STATE if writer is torch.save else {}, "sly": Sly(str(tmp_path / "done"))}, tmp_path / "a.pth")
    with pytest.raises(UsageError, match=r"is refused: .*mkdir"):
        read_states(tmp_path / "a.pth")
    assert not (tmp_path / "done").exists()


@pytest.mark.parametrize("zipped", [True, False])
def test_a_network_as_an_object_is_refused(tmp_path, zipped):
    torch.save(nn.Linear(2, 2), tmp_path / "a.pth", _use_new_zipfile_serialization=zipped)
    with pytest.raises(UsageError, match=r"is refused: reading it would run code that it names \((torch.nn|more than)"):
        read_states(tmp_path / "a.pth")
