"""Functions for the command line and notebooks: train, distill, resume, evaluate, probe, predict, build a method."""

from wcord.api.methods import build_method
from wcord.api.networks import Guess, evaluate, predict_files, probe
from wcord.api.runs import RESUMABLE, Result, distill, resume, start, train
from wcord.setup.job import Provided
from wcord.terminal import Reporter

__all__ = [
    "RESUMABLE",
    "Guess",
    "Provided",
    "Reporter",
    "Result",
    "build_method",
    "distill",
    "evaluate",
    "predict_files",
    "probe",
    "resume",
    "start",
    "train",
]
