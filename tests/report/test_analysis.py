import dataclasses

import numpy as np
import pytest
import torch

from wcord.checks import UsageError
from wcord.evaluation.accuracy import Predictions
from wcord.report import analysis as module
from wcord.report.analysis import Analysis, analyze

SAMPLES, CLASSES = 300, 10


def predictions(seed, *, skill, classes=CLASSES, width=16, samples=SAMPLES):
    """Return made-up predictions that are right more often the greater the skill."""
    targets = torch.arange(samples) % CLASSES
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(samples, classes, generator=generator)
    logits[torch.arange(samples), targets % classes] += skill
    centres = torch.randn(CLASSES, 12, generator=torch.Generator().manual_seed(99))
    own = torch.randn(samples, 12, generator=torch.Generator().manual_seed(98))
    mix = torch.randn(12, width, generator=generator)
    return Predictions(logits, targets, (2 * centres[targets] + 0.5 * own) @ mix)


def images(rows):
    return (rows[:, None, None, None] % 256).expand(-1, 3, 8, 8).to(torch.uint8)


@pytest.fixture(scope="module")
def pair():
    student, teacher = predictions(0, skill=1.0), predictions(1, skill=4.0, width=20)
    return student, teacher, analyze(student, teacher, images)


def test_predictions_are_kept_exactly_and_logits_nearly(pair):
    student, teacher, kept = pair
    assert kept.student_top1.tolist() == student.top1.tolist()
    assert kept.teacher_top1.tolist() == teacher.top1.tolist()
    assert kept.targets.tolist() == student.targets.tolist()
    np.testing.assert_allclose(kept.student_logits, student.logits.numpy(), rtol=1e-3, atol=1e-3)


def test_the_gallery_holds_what_only_the_teacher_knows(pair):
    student, teacher, kept = pair
    assert 0 < len(kept.gallery_rows) <= 24
    gaps = []
    for row, image in zip(kept.gallery_rows, kept.gallery, strict=True):
        assert student.top1[row] != student.targets[row] == teacher.top1[row]
        assert image.shape == (8, 8, 3)
        assert set(image.ravel()) == {row % 256}
        truth = student.targets[row]
        gaps.append(float(teacher.logits[row].softmax(0)[truth] - student.logits[row].softmax(0)[truth]))
    assert gaps == sorted(gaps, reverse=True)


def test_the_plan_is_a_plan_that_finds_samples_and_classes(pair):
    kept = pair[2]
    rows = len(kept.plan_rows)
    assert kept.plan.shape == (rows, rows)
    assert rows <= 64
    np.testing.assert_allclose(kept.plan.sum(axis=1), 1 / rows, rtol=0.02)
    np.testing.assert_allclose(kept.plan.sum(axis=0), 1 / rows, rtol=0.02)
    labels = kept.targets[kept.plan_rows]
    assert (np.diff(labels) >= 0).all()
    assert kept.plan[labels[:, None] == labels[None]].sum() > 0.9
    assert np.trace(kept.plan) > 0.25


def test_a_plan_of_unrelated_embeddings_finds_nothing():
    student, teacher = predictions(0, skill=1.0), predictions(1, skill=4.0)
    noise = torch.randn(SAMPLES, 16, generator=torch.Generator().manual_seed(5))
    kept = analyze(dataclasses.replace(student, embeddings=noise), teacher, images)
    assert np.trace(kept.plan) < 0.1


def test_an_analysis_survives_the_file(tmp_path, pair):
    pair[2].save(tmp_path / "analysis.npz")
    again = Analysis.load(tmp_path / "analysis.npz")
    for field in dataclasses.fields(Analysis):
        np.testing.assert_array_equal(getattr(again, field.name), getattr(pair[2], field.name))


def test_without_a_teacher_only_the_student_is_kept(tmp_path):
    kept = analyze(predictions(0, skill=1.0), None, images)
    kept.save(tmp_path / "analysis.npz")
    again = Analysis.load(tmp_path / "analysis.npz")
    assert again.teacher_top1 is again.teacher_logits is again.teacher_embeddings is again.plan is None
    assert (again.student_top1[again.gallery_rows] != again.targets[again.gallery_rows]).all()


def test_a_teacher_of_other_classes_keeps_embeddings_and_plan():
    kept = analyze(predictions(0, skill=1.0), predictions(1, skill=4.0, classes=14), images)
    assert kept.teacher_top1 is None
    assert kept.teacher_logits is None
    assert kept.teacher_embeddings is not None
    assert kept.plan is not None


def test_a_perfect_student_has_an_empty_gallery(tmp_path):
    kept = analyze(predictions(0, skill=50.0), predictions(1, skill=50.0), images)
    assert len(kept.gallery_rows) == len(kept.gallery) == 0
    kept.save(tmp_path / "analysis.npz")
    assert len(Analysis.load(tmp_path / "analysis.npz").gallery) == 0


def test_large_logits_and_test_sets_are_kept_within_bounds(monkeypatch):
    monkeypatch.setattr(module, "LOGIT_ENTRIES", 500)
    student = predictions(0, skill=1.0, samples=1200)
    student.logits[0, 0] = 1e6
    kept = analyze(student, None, images)
    assert kept.student_logits.shape == (50, CLASSES)
    assert np.isfinite(kept.student_logits).all()
    assert kept.student_embeddings.shape[0] == 1000
    assert len(kept.student_top1) == 1200
    assert kept.logit_rows[[0, -1]].tolist() == [0, 1199]


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_thumbnails_of_any_image(channels):
    kept = analyze(predictions(0, skill=1.0), None, lambda rows: torch.full((len(rows), channels, 200, 100), 0.5))
    assert kept.gallery.shape[1:] == (96, 48, 3 if channels == 3 else 1)
    assert set(np.unique(kept.gallery)) <= {127, 128}  # half of 255, by the resizing in float


def test_other_samples_are_refused():
    with pytest.raises(UsageError, match="must hold the same samples, received 300 and 200 rows"):
        analyze(predictions(0, skill=1.0), predictions(1, skill=1.0, samples=200), images)


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 cut"])
def test_a_damaged_file_is_refused(tmp_path, content):
    (tmp_path / "analysis.npz").write_bytes(content)
    with pytest.raises(UsageError, match="cannot be read"):
        Analysis.load(tmp_path / "analysis.npz")


def test_a_file_that_lacks_arrays_is_refused(tmp_path):
    np.savez(tmp_path / "analysis.npz", targets=np.zeros(3))
    with pytest.raises(UsageError, match=r"cannot be read .*student_top1"):
        Analysis.load(tmp_path / "analysis.npz")


def test_pickles_are_never_opened(tmp_path):
    np.savez(tmp_path / "analysis.npz", targets=np.array([{"a": 1}], dtype=object))
    with pytest.raises(UsageError, match="allow_pickle"):
        Analysis.load(tmp_path / "analysis.npz")
