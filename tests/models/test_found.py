import torch

from wcord.models.create import create_model
from wcord.models.found import Found


def found(tmp_path, state, **settings):
    torch.save(state, tmp_path / "a.pth")
    network = create_model("resnet8", num_classes=3, **settings)
    return Found.of(network, tmp_path / "a.pth", ema=False, say=print)


def test_wherein_two_differ(tmp_path):
    state = create_model("resnet8", num_classes=3).state_dict()
    assert not found(tmp_path, state).misfits
    assert found(tmp_path, {key: value for key, value in state.items() if "fc" not in key}).lacks_head
    other = found(tmp_path, create_model("resnet8", num_classes=7).state_dict())
    assert (other.classes, other.lacks_head, other.only_head_differs) == ((7, 3), False, True)
    assert not other.without_head().misfits
    wider = found(tmp_path, create_model("resnet8x2", num_classes=3).state_dict())
    assert (wider.classes, wider.only_head_differs) == (None, False)
    assert "another architecture" in str(wider.error())


def test_the_flag_that_helps_is_named(tmp_path):
    other = found(tmp_path, create_model("resnet8", num_classes=7).state_dict())
    assert "--teacher-classes 7" in str(other.error())
