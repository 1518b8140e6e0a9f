import math

import pytest
import torch
from torch import nn

from wcord.checks import UsageError
from wcord.data.batch import Batch
from wcord.evaluation.accuracy import Predictions, accuracy, predict
from wcord.models.network import evaluating


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 7))


def batches(count=3, size=5):
    generator = torch.Generator().manual_seed(1)
    for _ in range(count):
        student = torch.rand(size, 3, 8, 8, generator=generator)
        yield Batch(student, student.flip(3), torch.randint(0, 7, (size,), generator=generator))


def made_up(samples=200, classes=8):
    generator = torch.Generator().manual_seed(2)
    logits = 2 * torch.randn(samples, classes, generator=generator)
    return Predictions(logits, torch.randint(0, classes, (samples,), generator=generator), torch.zeros(samples, 2))


def test_accuracy_equals_a_loop_over_samples():
    predictions = made_up()
    told = accuracy(predictions)
    right = near = nll = 0.0
    bins = [[0, 0.0, 0.0] for _ in range(15)]
    for row, target in zip(predictions.logits.double().tolist(), predictions.targets.tolist(), strict=True):
        exponentials = [math.exp(value) for value in row]
        shares = [value / sum(exponentials) for value in exponentials]
        order = sorted(range(len(row)), key=lambda i: -row[i])
        right += order[0] == target
        near += target in order[:5]
        nll -= math.log(shares[target])
        chosen = bins[min(14, int(shares[order[0]] * 15))]
        chosen[0] += 1
        chosen[1] += order[0] == target
        chosen[2] += shares[order[0]]
    assert told["top1"] == pytest.approx(100 * right / 200, abs=1e-4)
    assert told["top5"] == pytest.approx(100 * near / 200, abs=1e-4)
    assert told["nll"] == pytest.approx(nll / 200, rel=1e-5)
    assert told["ece"] == pytest.approx(sum(abs(hit - sure) for _, hit, sure in bins) / 200, abs=1e-5)


def test_top5_says_nothing_below_six_classes():
    assert set(accuracy(made_up(classes=5))) == {"top1", "balanced", "macro_f1", "commonest", "ece", "nll"}


def test_targets_beyond_the_classes_are_refused():
    predictions = made_up()
    wrong = Predictions(predictions.logits[:, :4], predictions.targets, predictions.embeddings)
    with pytest.raises(UsageError, match=r"targets run from 0 to 7 but the network has 4 classes: evaluate it on"):
        accuracy(wrong)


def test_logits_that_are_not_finite_are_refused():
    predictions = made_up()
    predictions.logits[3, 1] = math.nan
    with pytest.raises(UsageError, match="logits holds 1 values that are NaN or infinite"):
        accuracy(predictions)


@pytest.mark.parametrize("side", ["student", "teacher"])
def test_predict_keeps_every_sample_in_order(side):
    net = network().train()
    predictions = predict(net, batches(), side=side)
    net.eval()
    all_batches = list(batches())
    inputs = torch.cat([b.student_input if side == "student" else b.teacher_input for b in all_batches])
    torch.testing.assert_close(predictions.logits, net(inputs).detach())
    torch.testing.assert_close(predictions.embeddings, net[:4](inputs).detach())
    assert predictions.targets.tolist() == torch.cat([b.target for b in all_batches]).tolist()
    assert len(predictions) == 15
    assert predictions.num_classes == 7
    assert not predictions.logits.requires_grad


def test_predict_changes_nothing_in_the_network():
    net = network().train()
    net[1].eval()  # a frozen normalization inside a network that trains
    before = {name: value.clone() for name, value in net.state_dict().items()}
    predict(net, batches())
    assert net.training
    assert net[0].training
    assert not net[1].training
    for name, value in net.state_dict().items():
        assert torch.equal(value, before[name])
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())


def test_half_precision_networks_give_float32():
    predictions = predict(network().bfloat16(), (_as_bfloat16(batch) for batch in batches()))
    assert predictions.logits.dtype == predictions.embeddings.dtype == torch.float32


def _as_bfloat16(batch):
    return Batch(batch.student_input.bfloat16(), batch.teacher_input.bfloat16(), batch.target)


def test_an_empty_split_is_refused():
    with pytest.raises(UsageError, match="received no batch: the test split is empty"):
        predict(network(), [])


def test_modes_return_after_an_error():
    net = network().train()
    with pytest.raises(RuntimeError, match="broken"), evaluating(net):
        raise RuntimeError("broken")
    assert all(module.training for module in net.modules())
