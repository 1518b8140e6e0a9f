"""Settings by name, without their tables."""

from pathlib import Path

from wcord.benchmark.settings import PLACE, flat_settings
from wcord.training.config import DistillConfig, configure, setting_names


def test_settings_are_flat_and_what_is_not_set_is_left_out() -> None:
    given = {"teacher": "resnet14", "student": "resnet8", "out": Path("o"), "data": "digits", "epochs": 3}
    flat = flat_settings(configure(DistillConfig, given))
    assert (flat["data"], flat["epochs"], flat["out"], flat["milestones"]) == ("digits", 3, "o", [0.625, 0.75, 0.875])
    assert not {"lr", "training", "teacher_weights"} & flat.keys()


def test_what_belongs_to_a_place_is_a_setting() -> None:
    assert set(setting_names(DistillConfig)) >= PLACE
