"""What is no value of the right kind, shape or content is refused at the door of every public function, by name."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from wcord import api, contrast, features, losses, transport
from wcord.data.sources import from_arrays
from wcord.models import create, weights
from wcord.models.network import Network
from wcord.models.preprocess import Preprocess

torch.manual_seed(0)
LOGITS, EMBEDDING, MAP = torch.randn(4, 3), torch.randn(4, 6), torch.randn(4, 3, 4, 4)
TARGET, ROWS, SIMPLEX, COST = torch.tensor([0, 1, 2, 0]), torch.arange(4), torch.full((4, 3), 1 / 3), torch.rand(3, 3)
IMAGES, LABELS = np.zeros((8, 4, 4), np.uint8), np.arange(8) % 2
SMALL = {"num_samples": 4, "num_negatives": 3}


def network() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))


def memory() -> contrast.Bank:
    return contrast.Bank(num_samples=4, dim=6)


@dataclass(frozen=True)
class Door:
    """A public callable, a call that it takes, and what else of the wrong values it takes, by argument."""

    call: Callable[..., object]
    given: dict[str, Any]
    takes: frozenset[str] = frozenset()


def door(call: Callable[..., object], *takes: str, **given: Any) -> Door:
    return Door(call, given, frozenset(takes))


TWO_LOGITS = {"student_logits": LOGITS, "teacher_logits": LOGITS}
TWO_EMBEDDINGS = {"student_embedding": EMBEDDING, "teacher_embedding": EMBEDDING}
TWO_MAPS = {"student_map": MAP, "teacher_map": MAP}
LISTS = {"student_maps": [MAP, MAP], "teacher_maps": [MAP, MAP]}
DOORS: dict[str, Door] = {
    "ab_loss": door(losses.ab_loss, **TWO_MAPS),
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
    "Paraphraser": door(losses.Paraphraser(3).forward, teacher_map=MAP),
    "Paraphraser.reconstruction_loss": door(losses.Paraphraser(3).reconstruction_loss, teacher_map=MAP),
    "Translator": door(losses.Translator(3, 4).forward, student_map=MAP),
    "kd_loss": door(losses.kd_loss, **TWO_LOGITS, standardize=False),
    "kdsvd_loss": door(losses.kdsvd_loss, **LISTS),
    "nst_loss": door(losses.nst_loss, **TWO_MAPS),
    "ofd_loss": door(losses.ofd_loss, **TWO_MAPS, margin=-torch.ones(3)),
    "ofd_margin": door(losses.ofd_margin, weight=torch.ones(3), bias=torch.ones(3)),
    "pkt_loss": door(losses.pkt_loss, **TWO_EMBEDDINGS),
    "ReviewKDLoss": door(losses.ReviewKDLoss([3, 3], [3, 3]).forward, **LISTS),
    "hcl_loss": door(losses.hcl_loss, **LISTS),
    "rkd_loss": door(losses.rkd_loss, **TWO_EMBEDDINGS),
    "sp_loss": door(losses.sp_loss, **TWO_MAPS),
    "ttm_loss": door(losses.ttm_loss, **TWO_LOGITS),
    "wttm_loss": door(losses.wttm_loss, **TWO_LOGITS),
    "VIDLoss": door(losses.VIDLoss(3, 3).forward, **TWO_MAPS),
    "WCoRDLoss": door(losses.WCoRDLoss(6, 6, **SMALL).forward, **TWO_EMBEDDINGS, index=ROWS, labels=TARGET),
    "WCoRDLoss()": door(
        losses.WCoRDLoss, student_dim=6, teacher_dim=6, objective="nce", estimator="sampled", standardize=True
    ),
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
        prior=torch.ones(3, 3),
    ),
    "transport_loss": door(
        transport.transport_loss, student=EMBEDDING, teacher=EMBEDDING, prior=torch.ones(4, 4), gradient="sharp"
    ),
    "transport_parts": door(
        transport.transport_parts, student=EMBEDDING, teacher=EMBEDDING, prior=torch.ones(4, 4), gradient="sharp"
    ),
    "require_transport_settings": door(
        transport.require_transport_settings, epsilon=0.5, iterations=5, gradient="sharp"
    ),
    "shared_cost_transport": door(
        transport.shared_cost_transport, a=SIMPLEX, b=SIMPLEX, cost=COST, epsilon=0.5, iterations=5
    ),
    "Critic": door(contrast.Critic(6, 6).forward, student=EMBEDDING, teacher=EMBEDDING),
    "Critic()": door(contrast.Critic, student_dim=6, teacher_dim=6, normalize="before", standardize=True),
    "CrossedNCE": door(
        contrast.CrossedNCE(
            6,
            num_samples=4,
            queue_size=4,
            momentum=0.5,
            renormalize=True,
            num_negatives=4,
            temperature=0.1,
            objective="nce",
            estimator="sampled",
            constant="first",
            negatives="uniform",
        ).forward,
        student=EMBEDDING,
        teacher=EMBEDDING,
        index=ROWS,
        labels=TARGET,
    ),
    "nce_loss": door(
        contrast.nce_loss, anchor=EMBEDDING, positive=EMBEDDING, rows=EMBEDDING, temperature=0.1, objective="nce"
    ),
    "NCE": door(
        contrast.NCE(6, num_negatives=3).forward, anchor=EMBEDDING, positive=EMBEDDING, memory=memory(), index=ROWS
    ),
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
    "capture": door(lambda **given: features.capture(**given).__enter__(), model=network(), maps=["0"], embedding="1"),
    "map_names": door(features.map_names, model=network()),
    "Network": door(Network, backbone=network(), preprocess=Preprocess([0.5], [0.5]), classes=("a", "b")),
    "Network.forward": door(Network(network(), Preprocess([0.5], [0.5])).forward, images=torch.rand(2, 1, 8, 8)),
    "from_arrays": door(from_arrays, x_train=IMAGES, y_train=LABELS, x_test=IMAGES, y_test=LABELS, classes=("a", "b")),
    "load_weights": door(weights.load_weights, model=network(), path="no.pth", ema=False, head="kept"),
    "save_weights": door(weights.save_weights, model=network(), path="w.safetensors", card=None),
    "open_network": door(weights.open_network, path="no.safetensors", model="resnet8"),
    "read_card": door(weights.read_card, path="no.safetensors"),
}
