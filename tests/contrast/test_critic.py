"""The critic keeps its constraint, and standardises first."""

import copy

import pytest
import torch

from wcord.checks import UsageError
from wcord.contrast import Critic
from wcord.contrast.critic import moments


@pytest.fixture
def features():
    torch.manual_seed(0)
    return torch.randn(32, 12).relu() * 3 + 2, torch.randn(32, 20).relu()


def _sigma(linear):
    return torch.linalg.matrix_norm(linear.weight.detach(), ord=2).item()


def test_largest_singular_values_stay_near_one_while_the_maps_train(features):
    critic = Critic(12, 20, embedding_dim=8)
    optimizer = torch.optim.SGD(critic.parameters(), lr=0.05)
    for _ in range(30):
        student, teacher = critic(*features)
        (-(student * teacher).sum(1).mean()).backward()
        optimizer.step()
        optimizer.zero_grad()
    critic.eval()
    assert 0.95 < _sigma(critic.student_map) < 1.05
    assert 0.95 < _sigma(critic.teacher_map) < 1.05


def test_scores_are_bounded_by_one(features):
    critic = Critic(12, 20, embedding_dim=8)
    for _ in range(20):
        student, teacher = critic(*features)
    assert (student @ teacher.T).abs().max() <= 1.02
    lengths = student.norm(dim=1)
    assert lengths.max() < 1.02
    assert lengths.min() < 0.98


def test_score_is_lipschitz_in_the_unit_vectors():
    torch.manual_seed(1)
    critic = Critic(6, 6, embedding_dim=4, standardize=False)
    for _ in range(50):
        critic(torch.randn(4, 6), torch.randn(4, 6))
    critic.eval()
    sides = [torch.nn.functional.normalize(torch.randn(200, 6), dim=1) for _ in range(4)]
    first, second = ((a * b).sum(1) for a, b in (critic(sides[0], sides[1]), critic(sides[2], sides[3])))
    moved = (sides[0] - sides[2]).norm(dim=1) + (sides[1] - sides[3]).norm(dim=1)
    assert ((first - second).abs() <= moved * 1.01).all()


def test_equals_its_equation(features):
    critic = Critic(12, 20, embedding_dim=8).double().eval()
    x = features[0].double()
    n = x / (x.square().sum(1, keepdim=True) + 1e-6).sqrt()
    critic.student_moments = moments(12, False)
    torch.testing.assert_close(critic(x, features[1].double())[0], n @ critic.student_map.weight.T)


def test_common_mean_is_taken_out(features):
    plain = Critic(12, 20, standardize=False)(*features)[0]
    standard = Critic(12, 20, standardize=True)(*features)[0]
    cosines = [torch.nn.functional.normalize(z, dim=1) for z in (plain, standard)]
    off = ~torch.eye(32, dtype=torch.bool)
    means = [(z @ z.T)[off].mean().item() for z in cosines]
    assert means[0] > 0.7
    assert abs(means[1]) < 0.1


def test_maps_have_no_bias_and_both_sides_train(features):
    critic = Critic(12, 20)
    names = [name for name, _ in critic.named_parameters()]
    assert names == [f"{side}_map.parametrizations.weight.original" for side in ("student", "teacher")]
    student, teacher = critic(*features)
    (student * teacher).sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in critic.parameters())


def test_power_iteration_and_moments_stand_still_in_eval_mode(features):
    critic = Critic(12, 20).eval()
    before = copy.deepcopy(critic.state_dict())
    critic(*features)
    assert all(torch.equal(value, before[name]) for name, value in critic.state_dict().items())
    critic.train()(*features)
    assert not all(torch.equal(value, before[name]) for name, value in critic.state_dict().items())


def test_zero_rows_and_equal_rows_have_finite_gradients():
    for fill in (0.0, 3.0):
        student = torch.full((4, 6), fill, requires_grad=True)
        z_student, z_teacher = Critic(6, 5)(student, torch.full((4, 5), fill))
        (z_student * z_teacher).sum().backward()
        assert z_student.isfinite().all()
        assert student.grad is not None
        assert student.grad.isfinite().all()


def test_autocast_does_not_lower_the_precision(features):
    critic = Critic(12, 20).eval()
    plain = critic(*features)[0]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast = critic(*features)[0]
    assert cast.dtype == torch.float32
    assert torch.equal(cast, plain)


def test_batch_of_one_is_refused_only_where_it_cannot_work(features):
    one = features[0][:1], features[1][:1]
    with pytest.raises(UsageError, match="student's embedding needs a batch of at least 2, received 1"):
        Critic(12, 20)(*one)
    assert Critic(12, 20, standardize=False)(*one)[0].shape == (1, 128)
    assert Critic(12, 20).eval()(*one)[0].shape == (1, 128)


def test_errors(features):
    with pytest.raises(UsageError, match="must hold the same samples, received 32 and 31 rows"):
        Critic(12, 20)(features[0], features[1][1:])


def test_moments_standardise_or_pass_on(features):
    standard = moments(12, True)(features[0])
    torch.testing.assert_close(standard.mean(0), torch.zeros(12), atol=1e-5, rtol=0)
    torch.testing.assert_close(standard.square().mean(0), torch.ones(12), atol=1e-3, rtol=0)
    assert moments(12, False)(features[0]) is features[0]
