"""URFM: the index of distances, the mapping against its loop and the reference, the attention, and the losses."""

import pytest
import torch
from tests.support.golden import golden
from tests.support.loss_contract import fill
from tests.support.naive_tokens import local_features
from torch import Tensor

from wcord.checks import UsageError
from wcord.losses.urfm import (
    CenterAttention,
    UnifiedMapping,
    distance_index,
    distances_from_middle,
    urfm_loss,
)

TRIPLES = ("irpe", "wide", "narrow")


def mapping(dim: int, token_dim: int, centers: int, buckets: int = 4) -> UnifiedMapping:
    """A mapping in double precision filled with a formula."""
    filled = UnifiedMapping(dim, token_dim=token_dim, centers=centers, buckets=buckets).double()
    for phase, parameter in enumerate(filled.parameters()):
        parameter.data = fill(parameter.shape, float(phase))
    return filled


def test_index_at_the_published_constants() -> None:
    x = torch.tensor([0.0, 0.5, 1.5, 1.9, 1.95, 2.0, 2.2, 3.0, 4.0, 5.0, 6.0, 15.2, 1e6])
    expected = torch.tensor([0, 0, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3])
    assert torch.equal(distance_index(x), expected)
    assert torch.equal(distance_index(-x), -expected)


def test_index_with_other_constants() -> None:
    x = torch.tensor([0.4, 1.0, 2.0, 4.0, 9.0, 31.0, 100.0])
    assert distance_index(x, linear=1.0, largest=8.0, far=32.0).tolist() == [0, 1, 2, 4, 5, 8, 8]
    assert distance_index(x.long(), linear=1.0, largest=8.0, far=32.0).tolist() == [0, 1, 2, 4, 5, 8, 8]


@pytest.mark.parametrize("triple", TRIPLES)
def test_index_is_that_of_irpe(triple: str) -> None:
    values = golden("apt")
    linear, largest, far = values[f"index_{triple}_constants"].tolist()
    index = distance_index(values[f"index_{triple}_x"], linear=linear, largest=largest, far=far)
    assert torch.equal(index, values[f"index_{triple}_value"])


@pytest.mark.parametrize("triple", TRIPLES)
@pytest.mark.parametrize("grid", ["4x4", "7x7", "3x5"])
def test_index_between_the_cells_of_a_grid_is_that_of_irpe(triple: str, grid: str) -> None:
    values = golden("apt")
    linear, largest, far = values[f"index_{triple}_constants"].tolist()
    height, width = map(int, grid.split("x"))
    cells = torch.cartesian_prod(torch.arange(height), torch.arange(width)).double()
    index = distance_index(torch.cdist(cells, cells).round(), linear=linear, largest=largest, far=far)
    assert torch.equal(index, values[f"euclid_{triple}_{grid}"])


def test_distances_of_a_grid_of_even_and_odd_sides() -> None:
    assert torch.equal(distances_from_middle(2, 2), torch.full((4,), 0.5**0.5, dtype=torch.float64))
    assert distances_from_middle(3, 5).view(3, 5)[1].tolist() == [2, 1, 0, 1, 2]
    assert distances_from_middle(1, 1).tolist() == [0]


def test_mapping_is_the_double_loop() -> None:
    filled, index = mapping(4, 4, 3), torch.tensor([0, 1, 2, 3, 2])
    tokens = fill((2, 5, 4), 9.0)
    matrices = (filled.query, filled.key, filled.value)
    with torch.no_grad():
        expected = local_features(
            tokens, index, filled.centers, *(one.weight.T for one in matrices), filled.bucket
        )  # fmt: skip
        torch.testing.assert_close(filled(tokens, index), expected)


def test_values_of_small_filled_modules() -> None:
    filled, attention = mapping(4, 6, 3), CenterAttention(4, heads=2).double()
    for phase, parameter in enumerate(attention.parameters()):
        parameter.data = fill(parameter.shape, 10.0 + phase)
    local = filled(fill((1, 4, 6), 5.0), torch.tensor([0, 1, 1, 3]))
    features, weights = attention(local)
    measured = [local.norm().item(), features.norm().item(), weights[0, 1, 2, 0].item()]
    assert measured == pytest.approx(VALUES, rel=1e-6)


VALUES = [5.253573189120317, 7.707546823060844, 0.814118338639375]
"""Of the reference at these inputs."""


@pytest.mark.parametrize(("side", "grid", "token_dim"), [("teacher", 4, 8), ("student", 7, 6)])
def test_mapping_and_attention_are_the_reference(side: str, grid: int, token_dim: int) -> None:
    values = golden("apt")
    distance = distances_from_middle(grid, grid)
    index = distance_index(distance)
    torch.testing.assert_close(distance, values[f"{side}_distance"])
    assert torch.equal(index, values[f"{side}_distance_index"])
    built, attention = reference(values, side, token_dim)
    tokens = values[f"{side}_tokens"].double()
    local = built(tokens, index)
    features, weights = attention(local)
    for name, value in (
        ("local", local), ("local_weights", built.weights(tokens, index)), ("msa", features), ("msa_attention", weights)
    ):  # fmt: skip
        torch.testing.assert_close(value, values[f"{side}_{name}"], rtol=0, atol=1e-12)


def test_losses_are_the_reference() -> None:
    values = golden("apt")
    pairs = {side: [values[f"{side}_msa"], values[f"{side}_msa_attention"]] for side in ("student", "teacher")}
    assert urfm_loss(**pairs, feature_weight=0).item() == pytest.approx(values["loss_attention"].item(), rel=1e-12)
    assert urfm_loss(**pairs, attention_weight=0).item() == pytest.approx(values["loss_feature"].item(), rel=1e-12)


def reference(values: dict[str, Tensor], side: str, token_dim: int) -> tuple[UnifiedMapping, CenterAttention]:
    built, attention = UnifiedMapping(8, token_dim=token_dim, centers=5).double(), CenterAttention(8, heads=2).double()
    matrices = {
        "wq": built.query,
        "wk": built.key,
        "wv": built.value,
        "msa_qkv": attention.qkv,
        "msa_out": attention.out,
    }
    if side == "student":
        matrices["projection"] = built.projection
    for name, linear in matrices.items():
        linear.weight.data = values[f"{side}_{name}"].double().T
    built.centers.data, built.bucket.data = (values[f"{side}_{name}"].double() for name in ("centres", "bucket"))
    return built, attention


def test_tokens_in_another_order_with_their_distances_give_the_same_features() -> None:
    filled, tokens, index = mapping(4, 6, 3), fill((2, 9, 6), 0.0), distance_index(distances_from_middle(3, 3))
    order = torch.tensor([3, 8, 1, 0, 2, 7, 6, 5, 4])
    torch.testing.assert_close(filled(tokens[:, order], index[order]), filled(tokens, index))
    assert not torch.allclose(filled(tokens[:, order], index), filled(tokens, index))


def test_networks_of_other_numbers_of_tokens_are_comparable() -> None:
    student, teacher = mapping(4, 6, 3), mapping(4, 4, 3, buckets=5)
    own = student(fill((2, 49, 6), 0.0), distance_index(distances_from_middle(7, 7)))
    other = teacher(fill((2, 6, 4), 0.0), torch.tensor([0, 1, 2, 3, 4, 4]))
    assert own.shape == other.shape == (2, 3, 4)


def test_weights_of_a_center_sum_to_1_and_all_parameters_train() -> None:
    filled, attention = mapping(4, 6, 3), CenterAttention(4, heads=2).double()
    tokens, index = fill((2, 4, 6), 0.0), torch.tensor([0, 1, 2, 3])
    torch.testing.assert_close(filled.weights(tokens, index).sum(-1), torch.ones(2, 3, dtype=torch.float64))
    features, weights = attention(filled(tokens, index))
    urfm_loss([features, weights], [features.detach() + 1, weights.detach() * 0.5]).backward()
    trained = [*filled.parameters(), *attention.parameters()]
    assert all(one.grad is not None and one.grad.abs().max() > 0 for one in trained)


def test_gradients_of_the_mapping_and_the_attention() -> None:
    filled, attention = mapping(4, 6, 3), CenterAttention(4, heads=2).double()
    index = torch.tensor([0, 1, 1])
    tokens = fill((1, 3, 6), 4.0).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: attention(filled(x, index)), tokens)


def test_bf16_tokens_under_autocast_are_computed_in_single() -> None:
    built = UnifiedMapping(4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        local = built(torch.ones(2, 3, 4, dtype=torch.bfloat16), torch.tensor([0, 1, 2]))
        features, _ = CenterAttention(4)(local)
    assert local.dtype == features.dtype == torch.float32


def test_errors() -> None:
    with pytest.raises(UsageError, match=r"tokens must be batch × tokens × 6, received shape \(2, 4, 5\)"):
        UnifiedMapping(4, token_dim=6)(torch.zeros(2, 4, 5), torch.zeros(4).long())
    with pytest.raises(UsageError, match="one whole number for each of 3 tokens"):
        UnifiedMapping(4)(torch.zeros(2, 3, 4), torch.zeros(4).long())
    with pytest.raises(UsageError, match="index holds buckets 0 to 4, and there are 4: build the mapping with more"):
        UnifiedMapping(4)(torch.zeros(2, 2, 4), torch.tensor([0, 4]))
    with pytest.raises(UsageError, match="heads must divide the width 6 of the features, received 4"):
        CenterAttention(6)
    with pytest.raises(UsageError, match=r"local must be batch × centers × 8, received shape \(2, 3, 4\)"):
        CenterAttention(8)(torch.zeros(2, 3, 4))
    with pytest.raises(UsageError, match=r"at most largest and below far, received 1\.9, largest 3\.8 and far 1\.5"):
        distance_index(torch.zeros(2), far=1.5)
