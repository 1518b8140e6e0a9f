import os
import pickle
from collections import OrderedDict

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from wcord.checks import UsageError
from wcord.models.reading import read_states

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
