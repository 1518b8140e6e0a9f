"""Entropic and exact optimal transport of vectors and of weights; nothing here depends on distillation."""

from wcord.transport.cost import cosine_cost as cosine_cost
from wcord.transport.cost import squared_euclidean_cost as squared_euclidean_cost
from wcord.transport.exact import exact as exact
from wcord.transport.loss import EPSILON as EPSILON
from wcord.transport.loss import ITERATIONS as ITERATIONS
from wcord.transport.loss import TransportParts as TransportParts
from wcord.transport.loss import require_transport_settings as require_transport_settings
from wcord.transport.loss import transport_loss as transport_loss
from wcord.transport.loss import transport_parts as transport_parts
from wcord.transport.plan import ConvergenceWarning as ConvergenceWarning
from wcord.transport.plan import Plan as Plan
from wcord.transport.shared_cost import SharedCostTransport as SharedCostTransport
from wcord.transport.shared_cost import shared_cost_transport as shared_cost_transport
from wcord.transport.sinkhorn import sinkhorn as sinkhorn

__all__ = [
    "ConvergenceWarning",
    "Plan",
    "SharedCostTransport",
    "TransportParts",
    "cosine_cost",
    "exact",
    "require_transport_settings",
    "shared_cost_transport",
    "sinkhorn",
    "squared_euclidean_cost",
    "transport_loss",
    "transport_parts",
]
