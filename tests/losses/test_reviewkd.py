"""Knowledge review: the fusion of levels and its errors."""

import pytest
import torch
from tests.support.criteria import fused_maps, review_criterion
from tests.support.loss_contract import wave
from torch import nn

from wcord.checks import UsageError
from wcord.losses.reviewkd import AttentionFusion, ReviewKDLoss, hcl_loss


def test_a_constant_difference_costs_its_square_at_every_size():
    student = [wave(shape, 0.1) for shape in ((2, 3, 8, 8), (2, 4, 4, 4), (2, 5, 1, 1))]
    assert hcl_loss(student, [x + 3 for x in student]).item() == pytest.approx(3 * 9)


def test_width_is_that_of_the_students_last_map_and_at_most_the_limit():
    assert [f.narrow[0].out_channels for f in ReviewKDLoss([8, 16], [8, 16]).fusions] == [16, 16]
    assert [f.narrow[0].out_channels for f in ReviewKDLoss([8, 1280], [8, 16]).fusions] == [512, 512]
    assert [f.narrow[0].out_channels for f in ReviewKDLoss([8, 16], [8, 16], max_width=4).fusions] == [4, 4]


def test_each_level_teaches_itself_and_the_deeper_maps_only():
    student, teacher = fused_maps().values()
    student = [x.requires_grad_() for x in student]
    outputs = review_criterion()._review(student, teacher)
    for level, output in enumerate(outputs):
        grads = torch.autograd.grad(output.square().sum(), student, retain_graph=True, allow_unused=True)
        assert [grad is not None for grad in grads] == [other >= level for other in range(4)]


def test_attention_of_one_half_each_is_the_mean_of_both():
    fusion = AttentionFusion(3, 3, 2, fuse=True).eval()
    torch.nn.init.zeros_(fusion.attention.weight)
    torch.nn.init.zeros_(fusion.attention.bias)
    student, deeper = torch.randn(2, 3, 4, 4), torch.randn(2, 3, 2, 2)
    _, fused = fusion(student, deeper, (4, 4))
    enlarged = deeper.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    torch.testing.assert_close(fused, (fusion.narrow(student) + enlarged) / 2)


def test_all_its_parameters_train():
    criterion = review_criterion()
    criterion(*fused_maps().values()).backward()
    assert all(parameter.grad is not None for parameter in criterion.parameters())


def test_its_convolutions_have_no_bias_as_normalization_follows():
    fusion = AttentionFusion(3, 4, 5, fuse=True)
    convolutions = [layer for part in (fusion.narrow, fusion.widen) for layer in part if isinstance(layer, nn.Conv2d)]
    assert [layer.bias for layer in convolutions] == [None, None]


def test_maps_of_other_batches_are_refused_by_name():
    student, teacher = fused_maps().values()
    with pytest.raises(UsageError, match=r"student_maps\[0\]"):
        review_criterion()(student, [torch.cat([x, x]) for x in teacher])


def test_errors_of_its_parameters():
    with pytest.raises(UsageError, match="received 2 of the student and 1 of the teacher"):
        ReviewKDLoss([3, 4], [5])
    with pytest.raises(UsageError, match="max_width must be a whole number of at least 1"):
        ReviewKDLoss([3, 4], [5, 6], max_width=0)
