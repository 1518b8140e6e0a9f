"""The end of a run: what is saved is what was measured."""

import json
from pathlib import Path

import pytest
import torch

import wcord
from wcord.api.conclude import predict_all
from wcord.data.config import DataConfig
from wcord.data.loader import Loader
from wcord.data.opening import open_data
from wcord.evaluation.accuracy import accuracy
from wcord.models.weights import open_network


def test_the_record_tells_what_the_saved_student_does_and_where_it_was_made(tmp_path: Path) -> None:
    made = wcord.distill(
        "resnet8", "resnet8", out=tmp_path / "run", method="wcord+kd", set=["wcord.num_negatives=32"], epochs=1,
        subset=12.0, allow_weak_teacher=True, device="cpu",
    )  # fmt: skip
    assert made.record is not None
    student = open_network(made.run / "student.safetensors")
    test = open_data(DataConfig(data="digits")).test
    measured = accuracy(predict_all(student, Loader(test, batch_size=100)))
    assert measured["top1"] == pytest.approx(made.record.metrics["top1_last"])
    start = json.loads((made.run / "starts.jsonl").read_text().splitlines()[0])
    assert (made.record.commit, made.record.environment) == (start["commit"], start["environment"])
    assert made.record.environment["torch"] == torch.__version__
    assert 0 < made.record.epochs[-1]["diagnostics"]["diagonal_mass"] <= 1
    assert 0 <= made.record.metrics["critic_information_nats"] < 7
