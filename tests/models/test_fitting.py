import pytest
import torch

from wcord.checks import UsageError
from wcord.models.create import create_model
from wcord.models.fitting import StateMatch, choose

OWN = {"conv.weight": torch.ones(2, 2), "fc.weight": torch.ones(3, 2), "fc.bias": torch.ones(3)}


def under(prefix: str, factor: float = 1.0) -> dict[str, torch.Tensor]:
    return {prefix + key: factor * value for key, value in OWN.items()}


@pytest.mark.parametrize(
    "prefix",
    [
        "",
        "module.",
        "_orig_mod.",
        "module._orig_mod.",
        "model.",
        "backbone.module.",
        "model.net.",
        "_forward_module.",
        "x.",
    ],
)
def test_prefixes_are_taken_off(prefix):
    taken, other = choose({"": under(prefix)}, OWN)
    assert taken.state.keys() == OWN.keys()
    assert (other, taken.beside) == (None, ())


def test_wrappers_inside_are_taken_off():
    state = {"module.conv._orig_mod.weight": OWN["conv.weight"], "module.fc._orig_mod.weight": OWN["fc.weight"]}
    assert choose({"": state}, OWN)[0].state.keys() == {"conv.weight", "fc.weight"}


def test_prefixes_that_belong_there_stay():
    own = {"model.a": torch.zeros(1), "model.b": torch.zeros(1)}
    assert choose({"": own}, own)[0].state.keys() == own.keys()


@pytest.mark.parametrize(
    "guests",
    [
        {"n_averaged": torch.tensor(3)},
        {"val_acc.tp": torch.zeros(4)},
        {"criterion.weight": torch.ones(3), "train_acc.total": torch.tensor(1)},
        {"projector.weight": torch.ones(5, 5)},
    ],
)
@pytest.mark.parametrize("prefix", ["module.", "model."])
def test_what_lies_beside_the_network_is_left_out(guests, prefix):
    taken, _ = choose({"state_dict": under(prefix) | guests}, OWN)
    assert taken.state.keys() == OWN.keys()
    assert set(taken.beside) == set(guests)


def test_without_a_prefix_counts_are_left_out_and_layers_are_not():
    counts = {"val_acc.tp": torch.zeros(4), "criterion.weight": torch.ones(3)}
    layers = {"layer4.weight": torch.ones(2, 2), "norm.weight": torch.ones(2), "norm.bias": torch.ones(2)}
    deeper = {"fc.extra": torch.ones(1)}
    taken, _ = choose({"": OWN | counts | layers | deeper}, OWN)
    assert set(taken.beside) == set(counts)
    assert set(taken.state) == {*OWN, *layers, *deeper}


@pytest.mark.parametrize(
    ("raw", "average"),
    [
        ("state_dict", "state_dict_ema"),
        ("model", "model_ema"),
        ("model", "ema"),
        ("net", "ema_state_dict"),
        ("model", "ema.module"),
        ("params", "params_ema"),
        ("model", "swa"),
        ("student", "teacher"),
        ("state_dict", "callbacks.EMA.ema_state_dict"),
        ("model", "model_EMA"),
        ("model", "emaModel"),
        ("model", "modelEma"),
        ("model", "polyak"),
        ("model", "momentum_model"),
        ("model", "SWA"),
    ],
)
def test_a_moving_average_beside_the_weights(raw, average):
    states = {average: under("module.", 2.0), raw: under("")}
    taken, other = choose(states, OWN)
    assert (taken.average, torch.equal(taken.state["fc.bias"], OWN["fc.bias"])) == (False, True)
    assert other is not None
    assert other.where == f"{average}.module"
    taken, other = choose(states, OWN, average=True)
    assert (taken.average, torch.equal(taken.state["fc.bias"], 2 * OWN["fc.bias"])) == (True, True)


@pytest.mark.parametrize(
    ("raw", "average"),
    [("model.", "model_ema."), ("module.encoder_q.", "module.encoder_k."), ("net.", "ema_net.module.")],
)
def test_a_moving_average_in_one_state_dict(raw, average):
    state = under(average, 2.0) | under(raw) | {"module.queue": torch.zeros(4)}
    taken, other = choose({"": state}, OWN)
    assert torch.equal(taken.state["fc.bias"], OWN["fc.bias"])
    assert other is not None
    assert other.average


def test_an_average_alone_is_taken_and_one_that_is_not_there_is_missed():
    averaged = {"": under("module.") | {"n_averaged": torch.tensor(1)}}
    for wanted in (False, True):
        taken, other = choose(averaged, OWN, average=wanted)
        assert (taken.average, other) == (True, None)
    with pytest.raises(UsageError, match="holds no moving average"):
        choose({"": OWN}, OWN, average=True)


def test_several_networks_that_fit():
    with pytest.raises(UsageError, match="several networks that fit, under 'a' and 'b'"):
        choose({"": under("a.") | under("b.", 2.0)}, OWN)
    assert choose({"": under("a.") | under("b.")}, OWN)[0].state.keys() == OWN.keys()


@pytest.mark.parametrize("other", ["best", "best_model", "model_best", "best_state_dict", "old_model"])
@pytest.mark.parametrize("usual", ["model", "state_dict"])
def test_the_usual_one_of_several_networks_is_taken_and_the_other_is_named(usual: str, other: str) -> None:
    taken, left = choose({other: under("", 2.0), usual: under("")}, OWN)
    assert (taken.where, taken.average) == (usual, False)
    assert left is not None
    assert (left.where, left.average) == (other, False)
    assert choose({other: under(""), usual: under("")}, OWN)[1] is None, "equal ones need no word"


def test_nothing_fits():
    state = {"a": torch.zeros(1), "b": torch.zeros(1)}
    assert choose({"": {"epoch": torch.tensor(1)}, "model": state}, OWN)[0].state == state


def found(tmp_path, state, **settings):
    torch.save(state, tmp_path / "a.pth")
    network = create_model("resnet8", num_classes=3, **settings)
    return StateMatch.of(network, tmp_path / "a.pth", ema=False, say=print)


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
