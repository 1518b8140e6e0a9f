import pytest
import timm
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from wcord.checks import UsageError
from wcord.models.create import create_model
from wcord.models.preprocess import Preprocess, stated_preprocess


@given(st.floats(-2, 2), st.floats(0.01, 4))
def test_normalizes_each_channel(mean, std):
    x = torch.rand(2, 2, 3, 3, dtype=torch.float64)
    y = Preprocess((mean, 0.0), (std, 1.0))(x)
    assert torch.allclose(y[:, 0], (x[:, 0] - mean) / std, rtol=1e-5, atol=1e-5)
    assert torch.equal(y[:, 1], x[:, 1])


def test_resizes_only_where_the_size_differs():
    preprocess = Preprocess((0.0,), (1.0,), size=(4, 6))
    same = torch.rand(1, 1, 4, 6)
    assert torch.equal(preprocess(same), same)
    # Without antialiasing, 3 of 8 pixels would be read at single points: 0 and 1 of stripes, not their mean.
    stripes = torch.arange(8).remainder(2).float().expand(1, 1, 8, 8)
    shrunk = Preprocess((0.0,), (1.0,), size=3)(stripes)
    torch.testing.assert_close(shrunk, F.interpolate(stripes, (3, 3), mode="bilinear", antialias=True))
    assert (shrunk - F.interpolate(stripes, (3, 3), mode="bilinear")).abs().max() > 0.2


def test_vectors_are_normalized_too():
    assert torch.equal(Preprocess((1.0, 2.0), (1.0, 2.0))(torch.tensor([[3.0, 4.0]])), torch.tensor([[2.0, 1.0]]))


def test_keeps_the_type_and_is_in_no_state_dict():
    preprocess = Preprocess((0.5,), (0.5,))
    assert preprocess(torch.rand(1, 1, 2, 2, dtype=torch.float64)).dtype == torch.float64
    assert preprocess(torch.rand(1, 1, 2, 2).bfloat16()).dtype == torch.bfloat16
    assert not preprocess.state_dict()
    assert "0.5" in repr(preprocess)


def test_gray_images_into_a_color_network_are_refused():
    with pytest.raises(UsageError, match=r"wants images of 3 channels, received gray ones \(1 channel\): convert"):
        Preprocess((0.5,) * 3, (0.5,) * 3)(torch.rand(2, 1, 8, 8))
    with pytest.raises(UsageError, match=r"wants images of 1 channels, received a batch of shape \(2, 3, 8, 8\)"):
        Preprocess((0.5,), (0.5,))(torch.rand(2, 3, 8, 8))


def test_bytes_are_refused():
    with pytest.raises(TypeError, match=r"received torch.uint8: divide bytes by 255"):
        Preprocess((0.5,), (0.5,))(torch.zeros(1, 1, 2, 2, dtype=torch.uint8))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((0.5,), (0.5, 0.5)), "one number a channel"),
        (((), ()), "one number a channel"),
        (((0.5,), (0.0,)), "std must be a finite number of at least 1e-30"),
        (((float("nan"),), (1.0,)), "mean must be a finite number"),
        (((0.5,), (0.5,), 0), "size must be a whole number between 1 and 8192"),
    ],
)
def test_refuses_impossible_statistics(arguments, message):
    with pytest.raises(UsageError, match=message):
        Preprocess(*arguments)


def test_timm_states_its_input_and_its_size_where_it_must():
    free = stated_preprocess(create_model("timm:test_efficientnet"))
    assert free.mean.tolist() == pytest.approx([0.485, 0.456, 0.406])
    assert free.std.tolist() == pytest.approx([0.229, 0.224, 0.225])
    assert free.size is None
    assert stated_preprocess(create_model("timm:test_vit")).size == (160, 160)


def test_others_state_none():
    assert stated_preprocess(create_model("resnet8")) is None
    assert stated_preprocess(create_model("torchvision:mobilenet_v3_small")) is None
    assert stated_preprocess(timm.create_model("test_resnet", in_chans=1), in_channels=1) is None
    assert stated_preprocess(nn.Identity()) is None
