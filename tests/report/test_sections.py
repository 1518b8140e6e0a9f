import dataclasses

import numpy as np
import pytest
import torch

from wcord.evaluation.accuracy import Predictions
from wcord.report import sections as module
from wcord.report import tables
from wcord.report.analysis import analyze
from wcord.report.figures import Series
from wcord.report.headline import Side
from wcord.report.record import Record
from wcord.report.sections import Shown, classes, knowledge, loss_parts, sections, training

CLASSES = 12


@pytest.fixture(autouse=True)
def plain_drawings(monkeypatch):
    """Leave out the slow layout of the maps: what is shown is tested here, not how."""
    monkeypatch.setattr(module.pictures, "embedding_map", lambda title, x, t: module.pictures.Map(title, x[:, :2], t))


def analysis(seed, *, teacher=True):
    targets = torch.arange(20 * CLASSES) % CLASSES

    def predicted(noise, start):
        generator = torch.Generator().manual_seed(start)
        logits = 3.0 * torch.nn.functional.one_hot(targets, CLASSES)
        logits = logits + noise * torch.randn(len(targets), CLASSES, generator=generator)
        return Predictions(logits, targets, torch.randn(len(targets), 6, generator=generator))

    return analyze(
        predicted(2.0, seed), predicted(0.5, 100) if teacher else None, lambda rows: torch.zeros(len(rows), 1, 2, 2)
    )


def record(method, seed=0, teacher="big"):
    return Record(
        name=f"{method}_s{seed}",
        kind="distill" if teacher else "train",
        method=method,
        student="small",
        teacher=teacher,
        data="made up",
        seed=seed,
        config={},
        num_classes=CLASSES,
        classes=[str(i) for i in range(CLASSES)],
        epochs=[{"epoch": 1, "loss": 1.0, "parts": {"ce": 1.0}, "test_top1": 50.0}],
        metrics={"top1_last": 50.0},
        cost={},
        environment={},
        wall_seconds=1.0,
    )


def shown(*methods, baseline=None, seeds=1, analysed=True, teacher="big"):
    """Return a page about the last method; method number n has the analyses of seeds 10 n, 10 n + 1 and so on."""
    records = [[record(method, seed, teacher) for seed in range(seeds)] for method in methods]
    kept = [
        [analysis(10 * n + s, teacher=teacher is not None) for s in range(seeds)] if analysed else []
        for n in range(len(methods))
    ]
    rows = [tables.group_row(group) for group in records]
    return Shown(
        sides=[
            Side(row, group[0], one[0] if one else None) for row, group, one in zip(rows, records, kept, strict=True)
        ],
        series=[Series(row.run, n, tuple(group)) for n, (row, group) in enumerate(zip(rows, records, strict=True))],
        teachers=[],
        main=len(methods) - 1,
        baseline=baseline,
        seeds=kept,
    )


def captions(section):
    return [picture.caption for picture in section.pictures]


def test_one_distilled_run_is_held_against_its_teacher():
    told = captions(classes(shown("kd")))
    assert told[0].startswith("kd_s0 against its teacher, by class: ")
    assert "pairs of classes" in told[2]


def test_several_runs_are_held_against_the_baseline():
    told = captions(classes(shown("ce", "kd", baseline=0)))
    assert told[0].startswith("kd_s0 against ce_s0")


def test_gains_are_means_over_seeds():
    page = shown("ce", "kd", baseline=0, seeds=2)
    gains, against = module._gains(page)
    assert against == "ce"
    by_hand = [
        np.mean([100 * (a.student_top1 == a.targets)[a.targets == label].mean() for a in page.seeds[1]])
        - np.mean([100 * (a.student_top1 == a.targets)[a.targets == label].mean() for a in page.seeds[0]])
        for label in range(CLASSES)
    ]
    np.testing.assert_allclose(gains, by_hand, atol=1e-9)


def test_seeds_are_told_in_the_captions():
    assert "bands their range" in captions(training(shown("kd", seeds=2)))[0]
    assert "bands" not in captions(training(shown("kd")))[0]


def test_each_run_has_its_correlations_and_the_subject_its_maps_and_plan():
    told = captions(knowledge(shown("kd", "wcord")))
    assert sum("Correlation of class logits" in caption for caption in told) == 2
    assert sum("t-SNE" in caption for caption in told) == 2
    assert sum("Transport plan" in caption for caption in told) == 1


def test_a_network_without_teacher_shows_only_itself():
    page = shown("ce", teacher=None)
    assert knowledge(page).title == "Embeddings"
    assert [caption[:5] for caption in captions(knowledge(page))] == ["t-SNE"]
    assert captions(classes(page))[0].startswith("Confusion matrix of ce_s0")


def test_without_analysis_only_the_curves_are_left():
    assert [section.title for section in sections(shown("kd", analysed=False))] == ["Training", "Parts of the loss"]


def test_parts_that_no_run_kept_make_no_section():
    page = shown("kd", analysed=False)
    bare = dataclasses.replace(page.series[0].records[0], epochs=[{"epoch": 1, "loss": 1.0}])
    page = dataclasses.replace(page, series=[Series("kd", 0, (bare,))])
    assert not loss_parts(page).pictures


def test_no_two_figures_of_a_page_share_identifiers():
    keys = [
        picture.svg.split('id="')[1].split("-")[0] for s in sections(shown("kd", "wcord")) for picture in s.pictures
    ]
    assert len(keys) == len(set(keys))


def test_the_caption_names_the_curve_of_a_teacher_that_trains():
    page = shown("kd", analysed=False)
    assert not any("star" in caption for caption in captions(training(page)))
    run = page.series[0].records[0]
    run = dataclasses.replace(run, epochs=[entry | {"teacher_test_top1": 80.0} for entry in run.epochs])
    page = dataclasses.replace(page, series=[Series("kd", 0, (run,))])
    assert "thin lines with a star: the teacher, which trains too" in captions(training(page))[0]
