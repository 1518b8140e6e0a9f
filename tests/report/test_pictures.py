import base64
import io
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
import torch
from PIL import Image

from wcord.evaluation.accuracy import Predictions
from wcord.evaluation.agreement import class_correlation_difference
from wcord.report import pictures
from wcord.report.analysis import analyze


def predictions(seed, classes, noise=2.0):
    targets = torch.arange(max(200, 12 * classes)) % classes
    generator = torch.Generator().manual_seed(seed)
    logits = 3.0 * torch.nn.functional.one_hot(targets, classes) + noise * torch.randn(
        len(targets), classes, generator=generator
    )
    return Predictions(logits, targets, torch.randn(len(targets), 8, generator=generator) + targets[:, None])


def made_up(classes=10):
    student, teacher = predictions(0, classes), predictions(1, classes, 0.5)
    return analyze(student, teacher, lambda rows: torch.zeros(len(rows), 1, 4, 4, dtype=torch.uint8))


def names(classes):
    return [f"class & <{i}>" for i in range(classes)]


def well_formed(svg):
    return ElementTree.fromstring(svg).tag.endswith("svg")


def test_confusions_are_counted_one_by_one():
    kept = made_up()
    counts = np.zeros((10, 10), int)
    for truth, said in zip(kept.targets, kept.student_top1, strict=True):
        counts[truth, said] += 1
    np.testing.assert_array_equal(pictures.confusions(kept, 10).table(), counts)
    accuracy = pictures.class_accuracy(kept.student_top1, kept.targets, 10)
    np.testing.assert_allclose(accuracy, 100 * np.diag(counts) / counts.sum(axis=1))


@pytest.mark.parametrize("classes", [2, 10, 15, 100])
def test_every_picture_is_drawn_for_any_number_of_classes(classes):
    kept = made_up(classes)
    gains = np.linspace(-5, 5, classes)
    difference = pictures.correlation_difference(kept)
    for svg in (
        pictures.class_gains(gains, names(classes), "gains", "its teacher"),
        pictures.confusion(pictures.confusions(kept, classes), names(classes), "confusion"),
        pictures.confused_pairs(pictures.confusions(kept, classes), names(classes), "pairs"),
        pictures.plan_figure(kept, names(classes), "plan"),
        pictures.correlations(difference, 0.2, "run", "correlation"),
    ):
        assert well_formed(svg)


def test_gains_leave_out_classes_without_samples():
    assert well_formed(pictures.class_gains(np.array([1.0, np.nan, -1.0]), names(3), "gains", "x"))


def test_nothing_confused_is_nothing_drawn():
    sure = predictions(0, 4, noise=0.0)
    kept = analyze(sure, None, lambda rows: rows)
    assert pictures.confused_pairs(pictures.confusions(kept, 4), names(4), "pairs") == ""
    assert pictures.plan_figure(kept, names(4), "plan") == ""
    assert pictures.plan_shares(kept) is None
    assert pictures.correlation_difference(kept) is None


def test_the_kept_logits_give_the_measured_correlations():
    expected = class_correlation_difference(predictions(0, 10), predictions(1, 10, 0.5))
    np.testing.assert_allclose(pictures.correlation_difference(made_up()), expected.numpy(), atol=2e-3)


def test_the_shares_of_a_plan_are_its_diagonal_and_its_blocks():
    kept = made_up()
    labels = kept.targets[kept.plan_rows]
    same = sum(float(kept.plan[i, i]) for i in range(len(labels)))
    within = sum(
        float(kept.plan[i, j]) for i in range(len(labels)) for j in range(len(labels)) if labels[i] == labels[j]
    )
    assert pictures.plan_shares(kept) == pytest.approx((100 * same, 100 * within), abs=0.1)


def test_a_map_is_the_same_every_time_and_keeps_neighbours():
    embeddings = np.repeat(np.eye(4) * 10, 15, axis=0) + np.random.default_rng(0).normal(size=(60, 4)) * 0.1
    targets = np.repeat(np.arange(4), 15)
    one, two = (pictures.embedding_map("x", embeddings.astype(np.float16), targets) for _ in range(2))
    np.testing.assert_array_equal(one.points, two.points)
    distance = np.linalg.norm(one.points[:, None] - one.points[None], axis=2) + 1e9 * np.eye(60)
    assert (targets[distance.argmin(axis=1)] == targets).all()
    assert well_formed(pictures.embedding_figure(one, names(4), "map"))


@pytest.mark.parametrize("shape", [(8, 1), (9, 300)])
def test_maps_of_odd_shapes(shape):
    embeddings = np.random.default_rng(0).normal(size=shape)
    drawn = pictures.embedding_map("x", embeddings, np.arange(shape[0]))
    assert np.isfinite(drawn.points).all()


@pytest.mark.parametrize(
    "embeddings",
    [
        np.zeros((12, 3)),
        np.tile([0.1, 7.3, -2.0], (12, 1)),
        np.repeat(np.eye(3)[:2], 6, axis=0),
        np.r_[np.full((1, 3), np.nan), np.eye(12, 3)[:11]],
    ],
    ids=["zero", "one point", "two points", "NaN"],
)
def test_a_collapsed_network_still_has_a_map(embeddings):
    drawn = pictures.embedding_map("x", embeddings.astype(np.float16), np.arange(len(embeddings)) % 2)
    assert np.isfinite(drawn.points).all()
    assert well_formed(pictures.embedding_figure(drawn, names(2), "map"))


@pytest.mark.parametrize("channels", [1, 3])
def test_thumbnails_hold_the_pixels(channels):
    image = np.random.default_rng(0).integers(0, 256, (6, 5, channels), dtype=np.uint8)
    uri = pictures.thumbnail(image)
    read = np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.removeprefix("data:image/png;base64,")))))
    np.testing.assert_array_equal(read.reshape(6, 5, channels), image)
