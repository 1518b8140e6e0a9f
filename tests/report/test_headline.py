import dataclasses

import numpy as np
import pytest

from wcord.report import tables
from wcord.report.analysis import Analysis
from wcord.report.headline import Side, baseline_side, certainty, headline, main_side
from wcord.report.record import Record


def side(method, *top1, student="resnet8", teacher="resnet56", analysis=None, data="digits"):
    records = [
        Record(
            name=f"{method}_s{seed}",
            kind="distill" if teacher else "train",
            method=method,
            student=student,
            teacher=teacher,
            data=data,
            seed=seed,
            config={},
            num_classes=2,
            classes=["a", "b"],
            epochs=[],
            metrics={"top1_last": value},
            teacher_metrics={"top1": 97.1} if teacher else None,
            cost={"student": {"parameters": 100}, "teacher": {"parameters": 900} if teacher else None},
            environment={},
            wall_seconds=1.0,
        )
        for seed, value in enumerate(top1)
    ]
    return Side(tables.group_row(records), records[0], analysis)


def kept(right):
    right = np.asarray(right)
    empty = np.zeros((0, 1))
    zeros = np.zeros(len(right), int)
    return Analysis(
        targets=zeros,
        student_top1=np.where(right, 0, 1),
        logit_rows=zeros,
        student_logits=empty,
        embedding_rows=zeros,
        student_embeddings=empty,
        gallery_rows=empty,
        gallery=empty,
    )


def test_the_sentence_says_what_was_gained():
    main, baseline = side("wcord+kd", 96.1), side("ce", 93.8, teacher=None)
    assert headline(main, baseline, tables.teacher_row(main.record)) == (
        "resnet8 with wcord+kd reaches 96.1 % on digits, 2.3 points above the same network trained alone (93.8 %) and "
        "1.0 points below its teacher resnet56 (97.1 %), with 1/9 of the teacher's parameters."
    )


def test_no_gain_is_said_first():
    main, baseline = side("wcord", 93.0), side("ce", 93.8, teacher=None)
    assert headline(main, baseline, None).startswith(
        "No gain: resnet8 with wcord reaches 93.0 % on digits, 0.8 points b"
    )
    assert "level with the same network" in headline(side("wcord", 93.8), baseline, None)


@pytest.mark.parametrize("which", ["main", "baseline", "unsettled", "old record"])
def test_no_gain_is_stated_where_a_student_is_doubtful(which):
    main, baseline = side("kd", 27.8), side("ce", 10.0, teacher=None)
    if which == "old record":  # it says one class for all samples, and its record does not tell
        baseline = dataclasses.replace(baseline, analysis=kept([True] * 10))
    elif which == "unsettled":
        main = dataclasses.replace(main, row=dataclasses.replace(main.row, unsettled=True))
    elif which == "main":
        main = dataclasses.replace(main, row=dataclasses.replace(main.row, at_chance=True))
    else:
        baseline = dataclasses.replace(baseline, row=dataclasses.replace(baseline.row, at_chance=True))
    told = headline(main, baseline, None)
    why = "was saved with normalization statistics that may not fit" if which == "unsettled" else "is at chance"
    who = "trained alone" if which in ("baseline", "old record") else "with kd"
    assert told.startswith(f"No statement about a gain is possible because the network {who} {why}")
    assert "17.8 points above" in told


def test_a_student_at_chance_is_told_alone():
    row = dataclasses.replace(side("ce", 10.0, teacher=None).row, at_chance=True)
    main = dataclasses.replace(side("ce", 10.0, teacher=None), row=row)
    assert headline(main, None, None) == "resnet8 trained alone reaches 10.0 % on digits; it is at chance."


def test_one_run_is_told_alone():
    assert headline(side("ce", 72.3, teacher=None, student="resnet56"), None, None) == (
        "resnet56 trained alone reaches 72.3 % on digits."
    )


def test_a_run_without_accuracy_says_so():
    assert "its accuracy was not measured" in headline(side("ce", None, teacher=None), None, None)


def test_the_subject_is_the_best_distilled_run_even_where_plain_training_is_better():
    sides = [side("ce", 99.0, teacher=None), side("kd", 95.0), side("wcord", 96.0)]
    assert main_side(sides) == 2
    assert baseline_side(sides, 2) == 0
    assert baseline_side(sides[1:], 1) == 0
    assert main_side([side("ce", 90.0, teacher=None), side("ce", 91.0, teacher=None)]) == 1


def test_only_the_same_network_on_the_same_data_is_a_baseline():
    main = side("wcord", 96.0)
    assert baseline_side([main, side("ce", 90.0, student="vgg8"), side("ce", 90.0, data="other")], 0) is None


def test_seeds_are_counted():
    assert certainty(side("kd", 90.0, 92.0), None) == ["Mean of 2 seeds; standard deviation 1.41 points."]
    assert certainty(side("kd", 90.0), None)[0].startswith("One seed:")


def test_the_paired_interval_is_the_textbooks():
    ours = kept([True] * 80 + [False] * 20)
    theirs = kept([True] * 70 + [False] * 10 + [True] * 5 + [False] * 15)
    told = certainty(side("kd", 80.0, analysis=ours), side("ce", 75.0, analysis=theirs))[1]
    reach = 1.96 * ((10 + 5) / 100 - 0.05**2) ** 0.5 / 10
    assert "Of the same 100 test samples, 10 are right here and wrong in ce_s0, 5 the reverse" in told
    assert f"{100 * (0.05 - reach):+.1f} to {100 * (0.05 + reach):+.1f} points".replace("-", "−") in told


def test_other_test_samples_are_not_paired():
    ours, theirs = kept([True] * 10), kept([True] * 12)
    assert len(certainty(side("kd", 80.0, analysis=ours), side("ce", 75.0, analysis=theirs))) == 1


@pytest.mark.parametrize(("ratio", "text"), [(3.1, "1/3.1"), (9.0, "1/9"), (24.7, "1/25")])
def test_the_fraction_is_short(ratio, text):
    main = side("kd", 90.0)
    teacher = tables.ResultRow("teacher", "–", "big", {"parameters": 100 * ratio}, {})
    assert f"with {text} of the teacher's parameters" in headline(main, None, teacher)


def test_a_teacher_to_which_a_method_adds_parts_is_called_adapted():
    main = side("4ds", 96.1)
    text = headline(main, None, tables.teacher_row(main.record))
    assert "1.0 points below its adapted teacher resnet56 (97.1 %)" in text
