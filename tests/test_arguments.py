"""Every numeric argument of every public function and class: what is no number of the right kind is refused by name."""

import inspect
import re
import typing
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import wcord
from wcord import contrast, losses, transport
from wcord.api import build_method
from wcord.checks import UsageError
from wcord.evaluation.probe import Representation, few_shot, linear_probe, nearest_neighbours
from wcord.evaluation.verification import verify
from wcord.models.create import create_model
from wcord.models.preprocess import Preprocess

VALUES = (float("nan"), float("inf"), float("-inf"), -1, 0, 1.5, True, "x", None, [1], 1e30, 10**30)
"""What is tried for each argument."""

COUNT: frozenset[object] = frozenset()
POSITIVE = frozenset({1.5, 1e30})
NOT_NEGATIVE = frozenset({0, 1.5, 1e30})
FROM_ONE = frozenset({1.5, 1e30})
SHARE = frozenset({0})
OR_NONE: frozenset[object] = frozenset({None})
"""Which of those values an argument takes, by the bounds that its documentation gives."""

torch.manual_seed(0)
LOGITS, EMBEDDING, MAP = torch.randn(4, 3), torch.randn(4, 6), torch.randn(4, 3, 4, 4)
TARGET, ROWS, VIEWS = torch.tensor([0, 1, 2, 0]), torch.arange(4), torch.randn(12, 3)
SIMPLEX, COST = torch.full((4, 3), 1 / 3), torch.rand(3, 3)
SEEN = Representation(EMBEDDING, TARGET % 2, EMBEDDING, TARGET % 2)

Accepted = dict[str, frozenset[object]]
CALLS: dict[str, tuple[Callable[..., object], tuple[Any, ...], dict[str, Any], Accepted]] = {
    "ab_loss": (losses.ab_loss, (MAP, MAP), {}, {"margin": POSITIVE}),
    "align_loss": (losses.align_loss, (EMBEDDING, EMBEDDING), {}, {}),
    "correlation_loss": (losses.correlation_loss, (EMBEDDING, EMBEDDING), {}, {"temperature": POSITIVE}),
    "cross_network_supcon": (
        losses.cross_network_supcon,
        (EMBEDDING, EMBEDDING, TARGET),
        {},
        {"temperature": POSITIVE},
    ),
    "at_loss": (losses.at_loss, (MAP, MAP), {}, {"p": FROM_ONE}),
    "bce_loss": (losses.bce_loss, (LOGITS, SIMPLEX), {}, {"label_smoothing": SHARE}),
    "binary_kd_loss": (losses.binary_kd_loss, (LOGITS, LOGITS), {}, {"temperature": POSITIVE}),
    "cc_loss": (losses.cc_loss, (EMBEDDING, EMBEDDING), {}, {}),
    "cross_entropy_loss": (losses.cross_entropy_loss, (LOGITS, TARGET), {}, {"label_smoothing": SHARE}),
    "dist_loss": (
        losses.dist_loss,
        (LOGITS, LOGITS),
        {},
        {"beta": NOT_NEGATIVE, "gamma": NOT_NEGATIVE, "temperature": POSITIVE},
    ),
    "dkd_loss": (
        losses.dkd_loss,
        (LOGITS, LOGITS, TARGET),
        {},
        {"alpha": NOT_NEGATIVE, "beta": NOT_NEGATIVE, "temperature": POSITIVE},
    ),
    "fitnet_loss": (losses.fitnet_loss, (MAP, MAP), {}, {}),
    "fsp_loss": (losses.fsp_loss, ([MAP, MAP], [MAP, MAP]), {}, {}),
    "ft_loss": (losses.ft_loss, (MAP, MAP), {}, {"p1": COUNT, "p2": frozenset({1.5})}),
    "ickd_loss": (losses.ickd_loss, (MAP, MAP), {"cells": [1, 1]}, {"cells": COUNT}),
    "infonce_loss": (losses.infonce_loss, (EMBEDDING, EMBEDDING), {"temperature": 0.1}, {"temperature": POSITIVE}),
    "rsd_loss": (losses.rsd_loss, (EMBEDDING, EMBEDDING), {"kappa": 0.01}, {"kappa": NOT_NEGATIVE}),
    "Paraphraser": (losses.Paraphraser, (), {"channels": 4}, {"channels": COUNT, "rate": frozenset({1.5})}),
    "Translator": (
        losses.Translator,
        (),
        {"channels": 4, "teacher_channels": 4},
        {"channels": COUNT, "teacher_channels": COUNT, "rate": frozenset({1.5})},
    ),
    "kd_loss": (losses.kd_loss, (LOGITS, LOGITS), {}, {"temperature": POSITIVE}),
    "kdsvd_loss": (losses.kdsvd_loss, ([MAP, MAP], [MAP, MAP]), {}, {"k": COUNT}),
    "nst_loss": (losses.nst_loss, (MAP, MAP), {}, {}),
    "margin_softmax_loss": (
        losses.margin_softmax_loss,
        (EMBEDDING, torch.ones(3, 6), TARGET),
        {},
        {"scale": POSITIVE, "margin": NOT_NEGATIVE - {1e30}},
    ),
    "urfm_loss": (
        losses.urfm_loss,
        ([EMBEDDING[:, None], MAP], [EMBEDDING[:, None], MAP]),
        {},
        {"attention_weight": NOT_NEGATIVE, "feature_weight": NOT_NEGATIVE},
    ),
    "distance_index": (
        losses.distance_index,
        (EMBEDDING,),
        {},
        {"linear": frozenset({1.5}), "largest": POSITIVE - {1.5}, "far": POSITIVE - {1.5}},
    ),
    "distances_from_middle": (
        losses.distances_from_middle,
        (),
        {"height": 4, "width": 4},
        dict.fromkeys(("height", "width"), COUNT),
    ),
    "UnifiedMapping": (
        losses.UnifiedMapping,
        (),
        {"dim": 4},
        {"dim": COUNT, "token_dim": OR_NONE, "centers": COUNT, "buckets": COUNT},
    ),
    "CenterAttention": (losses.CenterAttention, (), {"dim": 8}, {"dim": COUNT, "heads": COUNT}),
    "ofd_loss": (losses.ofd_loss, (MAP, MAP, -torch.ones(3)), {}, {}),
    "ofd_margin": (losses.ofd_margin, (torch.ones(3), torch.ones(3)), {}, {}),
    "pkt_loss": (losses.pkt_loss, (EMBEDDING, EMBEDDING), {}, {}),
    "ReviewKDLoss": (
        losses.ReviewKDLoss,
        (),
        {"student_channels": [4], "teacher_channels": [4]},
        {"student_channels": COUNT, "teacher_channels": COUNT, "max_width": COUNT},
    ),
    "hcl_loss": (losses.hcl_loss, ([MAP], [MAP]), {}, {}),
    "rkd_loss": (
        losses.rkd_loss,
        (EMBEDDING, EMBEDDING),
        {},
        {"distance_weight": NOT_NEGATIVE, "angle_weight": NOT_NEGATIVE},
    ),
    "sp_loss": (losses.sp_loss, (MAP, MAP), {}, {}),
    "sskd_head_loss": (losses.sskd_head_loss, (VIEWS[:3, :1],), {}, {}),
    "sskd_loss": (
        losses.sskd_loss,
        (VIEWS, VIEWS, VIEWS[:9], VIEWS[:9], TARGET[:3]),
        {},
        {
            "temperature": POSITIVE,
            "turned_temperature": POSITIVE,
            "similarity_temperature": POSITIVE,
            "keep_turned": SHARE,
            "keep_similarity": SHARE,
        },
    ),
    "phase_amplitude": (losses.phase_amplitude, (MAP,), {}, {}),
    "recompose": (losses.recompose, (MAP, MAP), {}, {}),
    "phase_feature_loss": (losses.phase_feature_loss, ([MAP], [MAP], MAP.mean((2, 3))), {}, {}),
    "turned_similarity": (losses.turned_similarity, (EMBEDDING, EMBEDDING.expand(3, 4, 6)), {}, {}),
    "ttm_loss": (losses.ttm_loss, (LOGITS, LOGITS), {}, {"exponent": POSITIVE}),
    "wttm_loss": (losses.wttm_loss, (LOGITS, LOGITS), {}, {"exponent": POSITIVE}),
    "VIDLoss": (
        losses.VIDLoss,
        (),
        {"student_channels": 3, "teacher_channels": 3},
        {
            "student_channels": COUNT,
            "teacher_channels": COUNT,
            "initial_variance": POSITIVE,
            "eps": frozenset({1.5}),  # it must be below the initial variance
        },
    ),
    "WCoRDLoss": (
        losses.WCoRDLoss,
        (),
        {"student_dim": 6, "teacher_dim": 6},
        {
            "student_dim": COUNT,
            "teacher_dim": COUNT,
            "gckt_weight": NOT_NEGATIVE,
            "lckt_weight": NOT_NEGATIVE,
        },
    ),
    "GCKTLoss": (
        losses.GCKTLoss,
        (),
        {"student_dim": 6, "teacher_dim": 6, "num_samples": 4, "queue_size": 4},
        {
            "student_dim": COUNT,
            "teacher_dim": COUNT,
            "num_samples": OR_NONE,
            "embedding_dim": COUNT,
            "num_negatives": COUNT,
            "temperature": POSITIVE,
            "momentum": SHARE,
            "queue_size": COUNT,
        },
    ),
    "LCKTLoss": (
        losses.LCKTLoss,
        (),
        {"student_dim": 6, "teacher_dim": 6, "anchor_end": 0.5, "anneal_steps": 3},
        {
            "student_dim": COUNT,
            "teacher_dim": COUNT,
            "epsilon": POSITIVE,
            "iterations": COUNT,
            "anchor": SHARE,
            "anchor_end": SHARE | OR_NONE,
            "anneal_steps": COUNT,
        },
    ),
    "CRDLoss": (
        losses.CRDLoss,
        (),
        {"student_dim": 6, "teacher_dim": 6, "num_samples": 4},
        {
            "student_dim": COUNT,
            "teacher_dim": COUNT,
            "num_samples": COUNT,
            "embedding_dim": COUNT,
            "num_negatives": COUNT,
            "temperature": POSITIVE,
            "momentum": SHARE,
        },
    ),
    "classifier_cost": (losses.classifier_cost, (EMBEDDING,), {}, {"sharpness": POSITIVE}),
    "wkd_feature_loss": (
        losses.wkd_feature_loss,
        (MAP, MAP),
        {},
        {"mean_weight": NOT_NEGATIVE, "grid": COUNT, "eps": POSITIVE},
    ),
    "wkd_logit_loss": (
        losses.wkd_logit_loss,
        (LOGITS, LOGITS, COST),
        {},
        {"transport_weight": NOT_NEGATIVE, "temperature": POSITIVE, "epsilon": POSITIVE, "iterations": COUNT},
    ),
    "cosine_cost": (transport.cosine_cost, (EMBEDDING, EMBEDDING), {}, {}),
    "squared_euclidean_cost": (transport.squared_euclidean_cost, (EMBEDDING, EMBEDDING), {}, {}),
    "exact": (transport.exact, (COST,), {}, {}),
    "sinkhorn": (
        transport.sinkhorn,
        (COST,),
        {"epsilon": 0.5, "iterations": 50},
        {"epsilon": POSITIVE, "iterations": COUNT, "tolerance": POSITIVE | OR_NONE},
    ),
    "transport_loss": (
        transport.transport_loss,
        (EMBEDDING, EMBEDDING),
        {"epsilon": 0.5, "iterations": 50},
        {"epsilon": POSITIVE, "iterations": COUNT, "tolerance": POSITIVE | OR_NONE},
    ),
    "transport_parts": (
        transport.transport_parts,
        (EMBEDDING, EMBEDDING),
        {},
        {"epsilon": POSITIVE, "iterations": COUNT, "tolerance": POSITIVE | OR_NONE},
    ),
    "require_transport_settings": (
        transport.require_transport_settings,
        (),
        {"epsilon": 0.5, "iterations": 5, "gradient": "sharp"},
        {"epsilon": POSITIVE, "iterations": COUNT, "tolerance": POSITIVE | OR_NONE},
    ),
    "shared_cost_transport": (
        transport.shared_cost_transport,
        (SIMPLEX, SIMPLEX, COST),
        {"epsilon": 0.5, "iterations": 5},
        {"epsilon": POSITIVE, "iterations": COUNT, "largest": POSITIVE | OR_NONE},
    ),
    "Critic": (
        contrast.Critic,
        (),
        {"student_dim": 6, "teacher_dim": 6},
        {"student_dim": COUNT, "teacher_dim": COUNT, "embedding_dim": COUNT},
    ),
    "CrossedNCE": (
        contrast.CrossedNCE,
        (),
        {
            "embedding_dim": 4,
            "num_samples": 4,
            "queue_size": 4,
            "momentum": 0.5,
            "renormalize": True,
            "num_negatives": 4,
            "temperature": 0.1,
            "estimator": "sampled",
            "negatives": "uniform",
        },
        {
            "embedding_dim": COUNT,
            "num_samples": OR_NONE,
            "queue_size": COUNT,
            "momentum": SHARE,
            "num_negatives": COUNT,
            "temperature": POSITIVE,
        },
    ),
    "nce_loss": (
        contrast.nce_loss,
        (EMBEDDING, EMBEDDING, EMBEDDING),
        {"temperature": 0.1},
        {"temperature": POSITIVE, "log_mean_exp": NOT_NEGATIVE | {-1}, "num_negatives": OR_NONE},
    ),
    "Bank": (
        contrast.Bank,
        (),
        {"num_samples": 4, "dim": 4},
        {"num_samples": COUNT, "dim": COUNT, "momentum": SHARE},
    ),
    "Queue": (contrast.Queue, (), {"size": 4, "dim": 4}, {"size": COUNT, "dim": COUNT}),
    "create_model": (
        create_model,
        ("mlp4x1",),
        {"image_size": (2, 2)},
        {"num_classes": SHARE | OR_NONE, "in_channels": COUNT, "image_size": OR_NONE},
    ),
    "Preprocess": (
        Preprocess,
        (),
        {"mean": [0.5], "std": [0.5]},
        {"mean": frozenset({-1, 0, 1.5, 1e30}), "std": FROM_ONE, "size": OR_NONE},
    ),
    "nearest_neighbours": (nearest_neighbours, (SEEN,), {"neighbours": 2}, {"neighbours": COUNT}),
    "verify": (verify, (EMBEDDING, TARGET), {}, {"far": frozenset({0})}),
    "few_shot": (
        few_shot,
        (SEEN,),
        {"shots": 1, "draws": 2},
        {"shots": COUNT, "draws": COUNT, "seed": frozenset({-1, 0})},
    ),
    "linear_probe": (linear_probe, (SEEN,), {}, {}),
    "build_method": (
        build_method,
        ("kd", nn.Linear(6, 3), nn.Linear(6, 3)),
        {"sample": EMBEDDING, "class_weights": [1.0, 1.0, 1.0]},
        {
            "num_samples": OR_NONE,
            "batch_size": OR_NONE,
            "label_smoothing": SHARE,
            "class_weights": POSITIVE,
            "total_steps": OR_NONE,
        },
    ),
}
"""Name → callable, positional arguments, named ones, and which of VALUES each numeric argument takes."""

NOT_CALLED = {
    "LossReport", "Features", "TransportParts", "Plan", "SharedCostTransport", "ConvergenceWarning",  # what comes out
    "Result",
    "distill", "evaluate", "predict_files", "probe", "resume", "train",  # their settings: see test_bounds.py
    "capture", "load_weights",  # no numbers
}  # fmt: skip


def public() -> Iterator[tuple[str, Any]]:
    for module in (wcord, losses, transport, contrast):
        names = getattr(module, "__all__", [name for name in vars(module) if not name.startswith("_")])
        for name in names:
            thing = getattr(module, name)
            if callable(thing) and getattr(thing, "__module__", "").startswith("wcord"):
                yield name, thing


def numeric(function: Callable[..., object]) -> set[str]:
    """The arguments that are numbers, or lists of numbers, by their annotation."""
    return {
        name
        for name, parameter in inspect.signature(function).parameters.items()
        if {int, float} & set(_leaves(parameter.annotation))
    }


def _leaves(hint: Any) -> Iterator[Any]:
    parts = typing.get_args(hint)
    if typing.get_origin(hint) is Annotated:
        parts = parts[:1]
    yield from (leaf for part in parts for leaf in _leaves(part)) if parts else (hint,)


def test_every_public_name_stands_in_the_table_with_all_its_numbers() -> None:
    missing = [name for name, _ in public() if name not in CALLS and name not in NOT_CALLED]
    assert not missing, f"add to CALLS: {missing}"
    for name, (function, _, _, accepted) in CALLS.items():
        assert numeric(function) == set(accepted), name


@pytest.mark.filterwarnings("ignore::wcord.transport.ConvergenceWarning")
@pytest.mark.parametrize(
    ("name", "argument"), [(name, argument) for name, (*_, accepted) in CALLS.items() for argument in accepted]
)
def test_numbers_are_taken_within_their_bounds_and_refused_by_name_beyond(name: str, argument: str) -> None:
    function, positional, named, accepted = CALLS[name]
    usual = named.get(argument)
    for value in VALUES:
        given = [value] * len(usual) if isinstance(usual, list) else value
        if value is not True and not isinstance(value, list) and value in accepted[argument]:
            function(*positional, **{**named, argument: given})
            continue
        case = f"{name}, {argument}={value!r}"
        try:
            function(*positional, **{**named, argument: given})
        except (UsageError, TypeError) as refusal:
            message = str(refusal)
        else:
            pytest.fail(f"{case}: accepted")
        assert re.search(rf"\b{argument}", message), case
        assert "\n" not in message, case
        assert len(message) < 300, case


SWITCHES: list[tuple[Callable[[Any], object], str]] = [
    (lambda value: losses.kd_loss(LOGITS, LOGITS, standardize=value), "standardize"),
    (lambda value: losses.ickd_loss(MAP, MAP, rows=value), "rows"),
    (lambda value: losses.phase_feature_loss([MAP], [MAP], MAP.mean((2, 3)), wrap=value), "wrap"),
    (lambda value: losses.GCKTLoss(6, 6, standardize=value), "standardize"),
    (lambda value: losses.LCKTLoss(6, 6, lckt_standardize=value), "lckt_standardize"),
    (lambda value: losses.CRDLoss(6, 6, num_samples=4, standardize=value), "standardize"),
    (lambda value: contrast.Critic(6, 6, standardize=value), "standardize"),
    (lambda value: contrast.Bank(4, 4, renormalize=value), "renormalize"),
]


@pytest.mark.parametrize(("call", "argument"), SWITCHES)
@pytest.mark.parametrize("value", ["maybe", "False", 1, None])
def test_switches_are_true_or_false(call: Callable[[Any], object], argument: str, value: object) -> None:
    with pytest.raises(UsageError, match=f"{argument} must be True or False, received"):
        call(value)


@pytest.mark.parametrize("name", [name for name in CALLS if name.endswith("_loss") or name == "sinkhorn"])
@pytest.mark.parametrize("wrong", [np.zeros((4, 3)), [[0.0]], None, torch.zeros(4, 3, dtype=torch.long)])
def test_tensors_must_be_tensors_of_fractions(name: str, wrong: Any) -> None:
    function, (first, *rest), named, _ = CALLS[name]
    given = [wrong, *first[1:]] if isinstance(first, list) else wrong
    with pytest.raises(TypeError, match=r"must (be a tensor|hold floating-point numbers), received") as refused:
        function(given, *rest, **named)
    assert "\n" not in str(refused.value)


def test_labels_and_row_numbers_must_be_whole_numbers_in_tensors() -> None:
    wcord_loss = losses.WCoRDLoss(6, 6, num_samples=4, num_negatives=3)
    crd_loss = losses.CRDLoss(6, 6, num_samples=4, num_negatives=3)
    for wrong in ([0, 1, 2, 3], np.arange(4), ROWS.float()):
        for criterion in (wcord_loss, crd_loss):
            with pytest.raises(TypeError, match="index must"):
                criterion(EMBEDDING, EMBEDDING, wrong)
        with pytest.raises((TypeError, UsageError), match="target must"):
            losses.cross_entropy_loss(LOGITS, typing.cast(Tensor, wrong))


def test_features_of_other_widths_are_told_with_both_widths() -> None:
    thin, wide = torch.randn(4, 6), torch.randn(4, 10)
    for criterion in (losses.WCoRDLoss(6, 10), losses.CRDLoss(6, 10, num_samples=4), contrast.Critic(6, 10)):
        with pytest.raises(UsageError, match="student of width 6 and a teacher of width 10, received 10 and 6"):
            criterion(wide, thin, ROWS) if not isinstance(criterion, contrast.Critic) else criterion(wide, thin)
    with pytest.raises(UsageError, match="VIDLoss was built for a student of width 2 and a teacher of width 5"):
        losses.VIDLoss(2, 5)(MAP, MAP)
    with pytest.raises(UsageError, match=r"ReviewKDLoss was built for .* \(2,\) .* \(5,\), received \(3,\) and \(3,\)"):
        losses.ReviewKDLoss([2], [5])([MAP], [MAP])
    for head in (losses.Paraphraser(8), losses.Translator(8, 8)):
        with pytest.raises(UsageError, match="must have 8 channels, received 3"):
            head(MAP)
