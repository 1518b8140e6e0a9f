"""How good a network is and what it costs."""

from wcord.evaluation.accuracy import Predictions, accuracy, predict
from wcord.evaluation.agreement import agreement, linear_cka
from wcord.evaluation.cost import Cost, measure_cost
from wcord.evaluation.information import information_bound
from wcord.evaluation.probe import Representation, few_shot, linear_probe, nearest_neighbours
from wcord.evaluation.verification import Verification, verify

__all__ = [
    "Cost",
    "Predictions",
    "Representation",
    "Verification",
    "accuracy",
    "agreement",
    "few_shot",
    "information_bound",
    "linear_cka",
    "linear_probe",
    "measure_cost",
    "nearest_neighbours",
    "predict",
    "verify",
]
