"""Critics, memories and noise-contrastive estimation; nothing here depends on distillation."""

from wcord.contrast.critic import Critic as Critic
from wcord.contrast.crossed import CrossedNCE as CrossedNCE
from wcord.contrast.estimate import nce_loss as nce_loss
from wcord.contrast.memory import Bank as Bank
from wcord.contrast.memory import Queue as Queue

__all__ = [
    "Bank",
    "Critic",
    "CrossedNCE",
    "Queue",
    "nce_loss",
]
