"""What is no value of the right kind, shape or content is refused at the door of every public function, by name."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import wcord
from wcord import api, contrast, features, losses, transport
from wcord.checks import UsageError
from wcord.data.config import DataConfig, PairingConfig
from wcord.data.opening import from_arrays, open_data
from wcord.models import create, weights
from wcord.models.network import Network
from wcord.models.preprocess import Preprocess

torch.manual_seed(0)
LOGITS, EMBEDDING, MAP = torch.randn(4, 3), torch.randn(4, 6), torch.randn(4, 3, 4, 4)
TARGET, ROWS, SIMPLEX, COST = torch.tensor([0, 1, 2, 0]), torch.arange(4), torch.full((4, 3), 1 / 3), torch.rand(3, 3)
VIEWS = torch.randn(12, 3)
IMAGES, LABELS = np.zeros((8, 4, 4), np.uint8), np.arange(8) % 2
NAN = math.nan
DATA = from_arrays(np.zeros((20, 8, 8), np.uint8), np.arange(20) % 2)
SMALL = {"num_samples": 4, "num_negatives": 3}


def network() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))


def memory() -> contrast.Bank:
    return contrast.Bank(num_samples=4, dim=6)


@dataclass(frozen=True)
class Door:
    """A public callable and the arguments of a call that it takes."""

    call: Callable[..., object]
    given: dict[str, Any]


def door(call: Callable[..., object], **given: Any) -> Door:
    return Door(call, given)


TWO_LOGITS = {"student_logits": LOGITS, "teacher_logits": LOGITS}
TWO_EMBEDDINGS = {"student_embedding": EMBEDDING, "teacher_embedding": EMBEDDING}
TWO_MAPS = {"student_map": MAP, "teacher_map": MAP}
LISTS = {"student_maps": [MAP, MAP], "teacher_maps": [MAP, MAP]}
DOORS: dict[str, Door] = {
    "ab_loss": door(losses.ab_loss, **TWO_MAPS),
    "align_loss": door(losses.align_loss, student=EMBEDDING, teacher=EMBEDDING),
    "correlation_loss": door(losses.correlation_loss, student_similarity=EMBEDDING, teacher_similarity=EMBEDDING),
    "cross_network_supcon": door(losses.cross_network_supcon, student=EMBEDDING, teacher=EMBEDDING, labels=TARGET),
    "at_loss": door(losses.at_loss, **TWO_MAPS),
    "bce_loss": door(losses.bce_loss, logits=LOGITS, target=SIMPLEX),
    "binary_kd_loss": door(losses.binary_kd_loss, **TWO_LOGITS),
    "cc_loss": door(losses.cc_loss, **TWO_EMBEDDINGS),
    "cross_entropy_loss": door(losses.cross_entropy_loss, logits=LOGITS, target=TARGET, class_weights=torch.ones(3)),
    "dist_loss": door(losses.dist_loss, **TWO_LOGITS),
    "dkd_loss": door(losses.dkd_loss, **TWO_LOGITS, target=TARGET),
    "fitnet_loss": door(losses.fitnet_loss, **TWO_MAPS),
    "fsp_loss": door(losses.fsp_loss, **LISTS),
    "ft_loss": door(losses.ft_loss, student_factor=MAP, teacher_factor=MAP),
    "ickd_loss": door(losses.ickd_loss, **TWO_MAPS, rows=True),
    "infonce_loss": door(partial(losses.infonce_loss, temperature=0.1), student=EMBEDDING, teacher=EMBEDDING),
    "rsd_loss": door(partial(losses.rsd_loss, kappa=0.01), student=EMBEDDING, teacher=EMBEDDING),
    "Paraphraser": door(losses.Paraphraser(3).forward, teacher_map=MAP),
    "Paraphraser.reconstruction_loss": door(losses.Paraphraser(3).reconstruction_loss, teacher_map=MAP),
    "Translator": door(losses.Translator(3, 4).forward, student_map=MAP),
    "kd_loss": door(losses.kd_loss, **TWO_LOGITS, standardize=False),
    "kdsvd_loss": door(losses.kdsvd_loss, **LISTS),
    "margin_softmax_loss": door(
        losses.margin_softmax_loss, embedding=EMBEDDING, weight=torch.ones(3, 6), target=TARGET
    ),
    "urfm_loss": door(losses.urfm_loss, student=[EMBEDDING[:, None], MAP], teacher=[EMBEDDING[:, None], MAP]),
    "distance_index": door(losses.distance_index, x=EMBEDDING),
    "distances_from_middle": door(losses.distances_from_middle, height=4, width=4),
    "UnifiedMapping": door(losses.UnifiedMapping(6).forward, tokens=EMBEDDING[None], index=ROWS),
    "CenterAttention": door(losses.CenterAttention(6, heads=2).forward, local=EMBEDDING[None]),
    "nst_loss": door(losses.nst_loss, **TWO_MAPS),
    "ofd_loss": door(losses.ofd_loss, **TWO_MAPS, margin=-torch.ones(3)),
    "ofd_margin": door(losses.ofd_margin, weight=torch.ones(3), bias=torch.ones(3)),
    "pkt_loss": door(losses.pkt_loss, **TWO_EMBEDDINGS),
    "ReviewKDLoss": door(losses.ReviewKDLoss([3, 3], [3, 3]).forward, **LISTS),
    "hcl_loss": door(losses.hcl_loss, **LISTS),
    "rkd_loss": door(losses.rkd_loss, **TWO_EMBEDDINGS),
    "sp_loss": door(losses.sp_loss, **TWO_MAPS),
    "sskd_head_loss": door(losses.sskd_head_loss, similarity=VIEWS[:9]),
    "sskd_loss": door(
        losses.sskd_loss,
        student_logits=VIEWS,
        teacher_logits=VIEWS,
        student_similarity=VIEWS[:9],
        teacher_similarity=VIEWS[:9],
        target=TARGET[:3],
    ),
    "phase_amplitude": door(losses.phase_amplitude, map=MAP),
    "recompose": door(losses.recompose, phase=MAP, amplitude=MAP),
    "phase_feature_loss": door(
        losses.phase_feature_loss,
        student_phases=[MAP, MAP],
        teacher_phases=[MAP, MAP],
        gate=torch.ones(4, 6),
        wrap=True,
    ),
    "turned_similarity": door(losses.turned_similarity, originals=EMBEDDING, turned=EMBEDDING.expand(3, 4, 6)),
    "ttm_loss": door(losses.ttm_loss, **TWO_LOGITS),
    "wttm_loss": door(losses.wttm_loss, **TWO_LOGITS),
    "VIDLoss": door(losses.VIDLoss(3, 3).forward, **TWO_MAPS),
    "WCoRDLoss": door(losses.WCoRDLoss(6, 6, **SMALL).forward, **TWO_EMBEDDINGS, index=ROWS, labels=TARGET),
    "WCoRDLoss()": door(losses.WCoRDLoss, student_dim=6, teacher_dim=6, estimator="sampled", standardize=True),
    "GCKTLoss": door(losses.GCKTLoss(6, 6, **SMALL).forward, **TWO_EMBEDDINGS, index=ROWS, labels=TARGET),
    "LCKTLoss": door(losses.LCKTLoss(6, 6).forward, **TWO_EMBEDDINGS),
    "LCKTLoss.plan": door(losses.LCKTLoss(6, 6).plan, **TWO_EMBEDDINGS),
    "CRDLoss": door(losses.CRDLoss(6, 6, **SMALL).forward, **TWO_EMBEDDINGS, index=ROWS, labels=TARGET),
    "CRDLoss()": door(losses.CRDLoss, student_dim=6, teacher_dim=6, num_samples=4, negatives="uniform"),
    "classifier_cost": door(losses.classifier_cost, weight=EMBEDDING, similarity="cosine"),
    "wkd_feature_loss": door(losses.wkd_feature_loss, **TWO_MAPS),
    "wkd_logit_loss": door(losses.wkd_logit_loss, **TWO_LOGITS, class_cost=COST, target=TARGET),
    "cosine_cost": door(transport.cosine_cost, x=EMBEDDING, y=EMBEDDING),
    "squared_euclidean_cost": door(transport.squared_euclidean_cost, x=EMBEDDING, y=EMBEDDING),
    "exact": door(transport.exact, cost=COST),
    "sinkhorn": door(
        transport.sinkhorn,
        cost=COST,
        epsilon=0.5,
        iterations=5,
        a=torch.full((3,), 1 / 3),
        b=torch.full((3,), 1 / 3),
        prior=torch.full((3, 3), 1 / 9),
    ),
    "transport_loss": door(
        transport.transport_loss,
        student=EMBEDDING,
        teacher=EMBEDDING,
        prior=torch.full((4, 4), 1 / 16),
        gradient="sharp",
    ),
    "transport_parts": door(
        transport.transport_parts,
        student=EMBEDDING,
        teacher=EMBEDDING,
        prior=torch.full((4, 4), 1 / 16),
        gradient="sharp",
    ),
    "require_transport_settings": door(
        transport.require_transport_settings, epsilon=0.5, iterations=5, gradient="sharp"
    ),
    "shared_cost_transport": door(
        transport.shared_cost_transport, a=SIMPLEX, b=SIMPLEX, cost=COST, epsilon=0.5, iterations=5
    ),
    "Critic": door(contrast.Critic(6, 6).forward, student=EMBEDDING, teacher=EMBEDDING),
    "Critic()": door(contrast.Critic, student_dim=6, teacher_dim=6, standardize=True),
    "CrossedNCE": door(
        contrast.CrossedNCE(
            6,
            num_samples=4,
            queue_size=4,
            momentum=0.5,
            renormalize=True,
            num_negatives=4,
            temperature=0.1,
            estimator="sampled",
            negatives="uniform",
        ).forward,
        student=EMBEDDING,
        teacher=EMBEDDING,
        index=ROWS,
        labels=TARGET,
    ),
    "nce_loss": door(contrast.nce_loss, anchor=EMBEDDING, positive=EMBEDDING, rows=EMBEDDING, temperature=0.1),
    "Bank.read": door(memory().read, index=ROWS),
    "Bank.write": door(memory().write, rows=EMBEDDING, index=ROWS, labels=TARGET),
    "Queue.write": door(contrast.Queue(4, 6).write, rows=EMBEDDING, labels=TARGET),
    "create_model": door(create.create_model, name="mlp4x1", image_size=(2, 2)),
    "build_method": door(
        api.build_method,
        method="kd",
        student=network(),
        teacher=network(),
        sample=torch.rand(2, 1, 8, 8),
        several_labels=False,
        student_maps=["0"],
        student_embedding="1",
        options={"kd": {"temperature": 2.0}},
    ),
    "capture": door(
        lambda **given: features.capture(**given).__enter__(), model=network(), maps=["0"], embedding="1", cut=["0"]
    ),
    "map_names": door(features.map_names, model=network()),
    "Network": door(Network, backbone=network(), preprocess=Preprocess([0.5], [0.5]), classes=("a", "b")),
    "Network.forward": door(Network(network(), Preprocess([0.5], [0.5])).forward, images=torch.rand(2, 1, 8, 8)),
    "from_arrays": door(from_arrays, x_train=IMAGES, y_train=LABELS, x_test=IMAGES, y_test=LABELS, classes=("a", "b")),
    "load_weights": door(weights.load_weights, model=network(), path="no.pth", ema=False, head="kept"),
    "save_weights": door(weights.save_weights, model=network(), path="w.safetensors", card=None),
    "open_network": door(weights.open_network, path="no.safetensors", model="resnet8"),
    "read_card": door(weights.read_card, path="no.safetensors"),
    "evaluate": door(api.evaluate, model=network(), data=DATA, device="cpu", embedding="1", classes_by_number=False),
    "distill": door(
        api.distill,
        teacher=network(),
        student=network(),
        data=DATA,
        out=Path("run"),
        method="kd",
        epochs=1,
        device="cpu",
    ),
    "train": door(api.train, model=network(), data=DATA, out=Path("run"), epochs=1, device="cpu"),
    "predict_files": door(api.predict_files, weights=Path("no.safetensors"), paths=["no.png"], device="cpu"),
    "probe": door(api.probe, weights=Path("no.safetensors"), data=DATA, shots=[1], verify=[0.1]),
    "resume": door(api.resume, run=Path("run")),
    "open_data": door(open_data, config=DataConfig(), teacher={}, pairing=PairingConfig()),
}
"""Name of a public callable, a method behind a dot → a call of it."""

ELSEWHERE = {
    "Features", "LossReport", "TransportParts", "Plan", "SharedCostTransport", "ConvergenceWarning",  # what comes out
    "Bank", "Queue",  # numbers alone: see test_arguments.py
}  # fmt: skip

TAKES = {
    "at_loss": "student_map wide, teacher_map wide",
    "bce_loss": "logits nan, logits inf",
    "cross_entropy_loss": "logits nan, logits inf, class_weights none, class_weights whole",
    "ft_loss": "student_factor wide, teacher_factor wide",
    "Paraphraser": "teacher_map short",
    "Paraphraser.reconstruction_loss": "teacher_map short",
    "Translator": "student_map short",
    "phase_amplitude": "map short, map wide",
    "margin_softmax_loss": "embedding short, weight short, weight wide",
    "distance_index": "x scalar, x deeper, x empty, x short, x whole, x wide, x thin",
    "UnifiedMapping": "tokens short, index negative",
    "CenterAttention": "local short, local wide",
    "nst_loss": "student_map wide, teacher_map wide",
    "pkt_loss": "student_embedding wide, teacher_embedding wide",
    "rkd_loss": "student_embedding wide, teacher_embedding wide",
    "sp_loss": "student_map deeper, student_map wide, teacher_map deeper, teacher_map wide",
    "WCoRDLoss": "labels none, labels negative, labels large",
    "GCKTLoss": "labels none, labels negative, labels large",
    "CRDLoss": "labels none, labels negative, labels large",
    "cross_network_supcon": "labels large",
    "classifier_cost": "weight short, weight wide",
    "wkd_logit_loss": "target none",
    "cosine_cost": "x short, x nan, x inf, y short, y nan, y inf",
    "squared_euclidean_cost": "x short, x nan, x inf, y short, y nan, y inf",
    "sinkhorn": "a none, b none, prior none",
    "transport_loss": "prior none",
    "transport_parts": "prior none",
    "Critic": "student nan, student inf, teacher nan, teacher inf",
    "CrossedNCE": "student nan, student inf, teacher nan, teacher inf, labels none, labels negative, labels large",
    "nce_loss": "anchor nan, anchor inf, positive nan, positive inf, rows short, rows nan, rows inf",
    "Bank.read": "index scalar, index deeper, index empty, index short",
    "Bank.write": "rows nan, rows inf, labels none, labels negative, labels large",
    "Queue.write": "rows nan, rows inf, labels none, labels negative, labels large",
    "create_model": "image_size none",
    "build_method": "sample none, sample deeper, sample short, sample nan, sample inf, student_maps none, "
    "student_embedding none, student_embedding empty, options none",
    "save_weights": "path text of no meaning, card none",
    "evaluate": "embedding none, embedding text of no meaning, embedding empty",
    "open_data": "teacher none, pairing none",
    "capture": "embedding none, embedding empty",
    "Network.forward": "images deeper, images empty, images short, images nan, images inf",
    "from_arrays": "classes none",
}
"""Which of the wrong values a callable takes after all: None where that is a default, labels that are not known (-1),
another width where a loss compares relations, and NaN where NaN comes out, which the training loop reports."""


def wrong_values(good: object) -> Iterator[tuple[str, Any]]:
    """Give what cannot stand in for a value, with a name for each."""
    yield from (("none", None), ("number", 3.25), ("text of no meaning", "no such"))
    if isinstance(good, Tensor):
        yield from wrong_tensors(good)
    elif isinstance(good, np.ndarray):
        yield from (("empty", good[:0]), ("short", good[:-1]), ("ragged", [[1], [1, 2]]), ("complex", good * 1j))
    elif isinstance(good, nn.Module):
        yield from (("class", type(good)), ("array", np.zeros(3)))
    elif isinstance(good, str | Path):
        yield from (("list", [good]), ("empty", ""), ("bytes", b"x"))
    elif isinstance(good, list | tuple) and isinstance(good[0], Tensor):
        yield from (("empty", []), ("short", good[:1]), ("tensor", good[0]), ("nothing in it", [None] * len(good)))
        yield from (("arrays in it", [one.numpy() for one in good]), ("nan", [one * NAN for one in good]))
    elif isinstance(good, list | tuple):
        yield from (("nothing in it", [None] * len(good)), ("fractions in it", [3.5] * len(good)))
    elif isinstance(good, dict):
        yield from (("list", [1]), ("other things in it", {1: 2}))


def wrong_tensors(good: Tensor) -> Iterator[tuple[str, Any]]:
    yield from (("list", good.tolist()), ("array", good.numpy()), ("scalar", good.flatten()[0]))
    yield from (("deeper", good[..., None]), ("empty", good[:0]), ("short", good[:-1]), ("bool", good > 0))
    yield from (("complex", good.to(torch.complex64)), ("meta", good.to("meta")), ("sparse", good.to_sparse()))
    if good.is_floating_point():
        yield from (("whole", good.long()), ("nan", good * NAN), ("inf", torch.full_like(good, math.inf)))
        if good.dim() > 1:
            yield from (("wide", torch.cat([good, good], 1)), ("thin", good[:, :0]))
    else:
        yield from (("fractions", good.float()), ("negative", good - 1), ("large", good + 100))


def cases() -> Iterator[tuple[str, str]]:
    for name, entry in DOORS.items():
        for argument, good in entry.given.items():
            if not isinstance(good, int | float) or isinstance(good, bool):  # numbers: see test_arguments.py
                yield name, argument


def public() -> Iterator[str]:
    for module in (wcord, losses, transport, contrast, api):
        for name in getattr(module, "__all__", [name for name in vars(module) if not name.startswith("_")]):
            thing = getattr(module, name)
            if callable(thing) and getattr(thing, "__module__", "").startswith("wcord"):
                yield name


def test_every_public_callable_stands_in_the_table() -> None:
    known = {name.partition(".")[0].partition("(")[0] for name in DOORS} | ELSEWHERE
    assert {name for name in public() if name not in known} == {"Guess", "Provided", "Result", "start"}


PARTNERS = ("embedding", "weights", "student", "teacher", "model", "module", "split", "kdsvd", "fsp", "data")
"""What a message may name in place of the argument: what the argument does not fit."""


@pytest.mark.parametrize(("name", "argument"), list(cases()))
def test_wrong_values_are_refused_in_one_line(
    name: str, argument: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    entry, accepted = DOORS[name], TAKES.get(name, "").split(", ")
    for kind, value in wrong_values(entry.given[argument]):
        if f"{argument} {kind}" in accepted:
            continue
        case = f"{name}, {argument}, {kind}"
        try:
            entry.call(**{**entry.given, argument: value})
        except UsageError as refusal:
            message = str(refusal)
        else:
            pytest.fail(f"{case}: accepted")
        assert "\n" not in message, case
        assert len(message) < 400, case
        assert any(word in message for word in (argument, *entry.given, *PARTNERS)), case
    assert list(tmp_path.iterdir()) == []
