"""No method looks at a value in its training step, but for those that say so: such a step can be captured.

Proven without a GPU. On the CPU, and on fake tensors of a CUDA device, everything is refused that the host would have
to wait for (`tests.support.host_reads`); and what is computed where nothing may be looked at is what is computed else.
"""

from collections.abc import Iterable
from typing import Any

import pytest
import torch
from tests.support.host_reads import HostReadError, operations_noted, reads_refused
from tests.support.training_step import BATCH, CLASSES, make_step, on_fake_device

from wcord import create_model
from wcord.host import no_reads
from wcord.methods.build import option_names
from wcord.methods.catalogue import METHODS
from wcord.methods.term import Stage
from wcord.models.catalogue import CIFAR_NETWORKS

SUMS = ["wcord+kd", "crd+kd", "dkd+wcord", "reviewkd+kd", "ab+kd", "kdsvd+kd"]
SVD = "kdsvd: torch.linalg.svd waits for the device"
EAGER = {"kdsvd": SVD, "kdsvd+kd": SVD}

Case = tuple[str, dict[str, Any], dict[str, Any]]
"""A method, options of its methods, and changes of the setting."""

WCORD: dict[str, dict[str, Any]] = {
    "embedding_dim": {"embedding_dim": 16},
    "num_negatives": {"num_negatives": 100},
    "temperature": {"temperature": 0.5},
    "momentum": {"momentum": 0.9},
    "gckt_weight": {"gckt_weight": 0.0},
    "lckt_weight": {"lckt_weight": 0.0},
    "estimator=expected": {"estimator": "expected"},
    "estimator=shared": {"estimator": "shared"},
    "estimator=sampled": {"estimator": "sampled"},
    "estimator, few drawn": {"num_negatives": 3},
    "epsilon": {"epsilon": 0.01},
    "iterations": {"epsilon": 0.01, "iterations": 45},
    "standardize": {"standardize": False},
    "negatives=other_class, expected": {"negatives": "other_class", "estimator": "expected"},
    "negatives=other_class, shared": {"negatives": "other_class", "estimator": "shared"},
    "negatives=other_class, sampled": {"negatives": "other_class", "estimator": "sampled"},
    "queue_size": {"queue_size": 2 * BATCH},
    "anchor": {"anchor": 0.5},
    "anchor=1": {"anchor": 1.0},
    "anchor_end": {"anchor": 0.2, "anchor_end": 0.8},
    "anneal_steps": {"anchor_end": 0.8, "anneal_steps": 4},
    "anchor_to": {"anchor": 0.5, "anchor_to": "class"},
    "lckt_standardize": {"lckt_standardize": True},
}
OF_LCKT = ("epsilon", "iterations", "anchor", "anneal", "lckt")
"""What begins so does not concern the memory, and is tried with a bank alone."""
OTHERS: dict[str, Case] = {
    "kd standardized": ("kd", {"standardize": True}, {}),
    "crd expected": ("crd", {"estimator": "expected"}, {}),
    "crd shared": ("crd", {"estimator": "shared"}, {}),
    "crd other_class": ("crd", {"negatives": "other_class"}, {}),
    "dkd without warm-up": ("dkd", {"warmup": 0.0}, {}),
    "dkd, steps not known": ("dkd", {}, {"total_steps": None}),
    "wkd-l in the log domain": ("wkd-l", {"epsilon": 0.01}, {}),
    "wkd-l cka": ("wkd-l", {"similarity": "cka"}, {}),
    "wkd-l, steps not known": ("wkd-l", {}, {"total_steps": None}),
    "wkd-f in cells": ("wkd-f", {"grid": 2}, {}),
    "ickd in cells": ("ickd", {"cells": (2, 2)}, {}),
    "ft powers": ("ft", {"p1": 3, "p2": 2.0}, {}),
    "lakd with heads": ("lakd", {"heads": True}, {}),
    "lakd jointly": ("lakd", {"cut": False}, {}),
    "lakd in turn": ("lakd+kd", {"order": "deep_last"}, {}),
    "at power": ("at", {"p": 3.0}, {}),
    "smoothed labels": ("ce", {}, {"label_smoothing": 0.1}),
    "class weights": ("ce", {}, {"class_weights": torch.arange(1.0, CLASSES + 1)}),
    "class weights, mixed": ("ce", {}, {"class_weights": torch.arange(1.0, CLASSES + 1), "mixed": True}),
    "mixed": ("wcord+kd", {}, {"mixed": True, "num_samples": None}),
    "several labels": ("wcord+kd", {}, {"several_labels": True}),
    "several labels, smoothed": ("ce", {}, {"several_labels": True, "label_smoothing": 0.1}),
}
CASES: dict[str, Case] = {
    **{method: (method, {}, {}) for method in [*METHODS, *SUMS]},
    **{f"wcord {name}, bank": ("wcord", options, {}) for name, options in WCORD.items()},
    **{
        f"wcord {name}, queue": ("wcord", options, {"num_samples": None})
        for name, options in WCORD.items()
        if not name.startswith(OF_LCKT)
    },
    **OTHERS,
}
OTHER_WAY = {"lckt-a", "wcord-a", "epsilon", "iterations", "anchor", "anchor_end"}
"""Methods and options whose transport is stabilised where costs must not be looked at: equal up to rounding."""
CAPTURED = [name for name, (method, _, _) in CASES.items() if method not in EAGER]
PREPARED = ["fsp", "ft", "ab", "sskd"]
ANEW = {"wcord negatives=other_class, sampled, bank", "wcord negatives=other_class, sampled, queue", "crd other_class"}
"""What draws otherwise where it may not look at the classes: see tests/contrast/test_draws.py."""


def cases(names: Iterable[str]) -> list[Any]:
    """Return names of cases, those that vary a method's options as slow."""
    return [pytest.param(name, marks=[] if name in METHODS else [pytest.mark.slow]) for name in names]


def test_every_option_of_wcord_is_tried() -> None:
    tried = {option for options in WCORD.values() for option in options}
    assert tried == set(option_names("wcord"))


@pytest.mark.parametrize("name", cases(CAPTURED))
def test_a_step_reads_nothing(name: str) -> None:
    method, options, setting = CASES[name]
    step = make_step(method, options, **setting)
    step.settle()
    with on_fake_device(step) as fake:
        with no_reads(), reads_refused():
            loss, gradient = fake()
        assert loss.device.type == gradient.device.type == "cuda"
    with no_reads(), reads_refused():
        loss, gradient = step()
    assert loss.isfinite()
    assert gradient.isfinite().all()
    assert step.objective.settled_in("main")
    assert not step.objective.reads


REPEATED = [name for name in CAPTURED if name in {*METHODS, *SUMS, *OTHERS} or "queue" in name or "anneal" in name]


@pytest.mark.parametrize("name", cases(REPEATED))
def test_a_settled_step_repeats_the_one_before(name: str) -> None:
    """Same operations with the same numbers of the host, on the same tensors: a graph knows no others."""
    method, options, setting = CASES[name]
    step = make_step(method, options, **setting)
    step.settle()
    noted: list[list[tuple[str, list[Any]]]] = []
    places: list[list[int]] = []
    for _ in range(2):
        with no_reads(), operations_noted() as operations:
            step()
        noted.append(operations)
        kept = [tensor for part in (step.student, step.objective) for tensor in (*part.parameters(), *part.buffers())]
        state = step.optimizers["main"].state_dict()["state"]
        kept += [value for of_weight in state.values() for value in of_weight.values() if torch.is_tensor(value)]
        places.append([tensor.data_ptr() for tensor in kept])
    assert len(noted[0]) == len(noted[1])
    for before, after in zip(*noted, strict=True):
        assert before == after
    assert places[0] == places[1]


@pytest.mark.parametrize("name", CIFAR_NETWORKS)
def test_a_network_reads_nothing(name: str) -> None:
    network, images = create_model(name, num_classes=CLASSES).train(), torch.rand(2, 3, 32, 32)
    with no_reads(), reads_refused():
        network(images).sum().backward()


@pytest.mark.parametrize("method", EAGER)
def test_a_method_that_says_it_reads_does(method: str) -> None:
    step = make_step(method)
    step.settle()
    assert step.objective.reads == EAGER[method]
    with no_reads(), reads_refused(), pytest.raises(HostReadError):
        step()


@pytest.mark.parametrize("method", PREPARED)
def test_a_step_of_the_preparation_reads_nothing(method: str) -> None:
    stage: Stage = "preparation"
    step = make_step(method)
    step(stage)
    with on_fake_device(step) as fake, no_reads(), reads_refused():
        fake(stage)
    with no_reads(), reads_refused():
        loss, _ = step(stage)
    assert loss.isfinite()


@pytest.mark.parametrize("name", cases(name for name in CASES if name not in ANEW))
def test_a_step_that_reads_nothing_is_the_ordinary_one(name: str) -> None:
    method, options, setting = CASES[name]
    ordinary, blind = (make_step(method, options, **setting) for _ in range(2))
    for step in (ordinary, blind):
        torch.manual_seed(1)
        step.settle()
    for _ in range(2):
        torch.manual_seed(2)
        expected = ordinary()
        torch.manual_seed(2)
        with no_reads():
            found = blind()
        if method not in OTHER_WAY and not OTHER_WAY & set(options):
            assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_these_are_the_methods_with_a_preparation() -> None:
    assert [method for method in METHODS if make_step(method).objective.preparation is not None] == PREPARED


def test_only_what_begins_otherwise_has_to_settle() -> None:
    assert make_step("wcord+kd").objective.settled_in("main") is False
    assert make_step("wcord", num_samples=None).objective.settled_in("main") is False
    assert all(make_step(method).objective.settled_in("main") for method in ("ce", "kd", "lckt", "dkd", "ft"))


def test_a_loaded_state_is_as_settled_as_the_one_it_is_of() -> None:
    step, fresh = (make_step("wcord", num_samples=None) for _ in range(2))
    begun = fresh.objective.state_dict()
    begun = {name: value.clone() for name, value in begun.items()}
    step.settle()
    fresh.objective.load_state_dict(step.objective.state_dict())
    assert fresh.objective.settled_in("main")
    step.objective.load_state_dict(begun)
    assert not step.objective.settled_in("main")
