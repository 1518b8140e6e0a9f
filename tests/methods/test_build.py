"""Names that add up, their weights, their options, and what is refused before the first step."""

import pytest
import torch

from wcord.checks import UsageError
from wcord.data.batch import Batch
from wcord.features import Features
from wcord.losses import cross_entropy_loss, kd_loss
from wcord.methods.build import build_objective, parse_method, resolved_options
from wcord.methods.setting import Setting

SETTING = Setting(student_dim=6, teacher_dim=10, student_classes=5, teacher_classes=5, num_samples=40, batch_size=8)


def features(dim: int, classes: int, seed: int) -> Features:
    generator = torch.Generator().manual_seed(seed)
    return Features(
        logits=torch.randn(8, classes, generator=generator).requires_grad_(),
        embedding=torch.randn(8, dim, generator=generator).requires_grad_(),
    )


def batch() -> Batch:
    images = torch.zeros(8, 1, 2, 2)
    return Batch(images, images, torch.arange(8) % 5, torch.arange(8))


@pytest.mark.parametrize(
    ("method", "weights"),
    [
        ("ce", {"ce": 1.0}),
        ("kd", {"ce": 0.1, "kd": 0.9}),
        ("ce+kd", {"ce": 1.0, "kd": 1.0}),
        ("wcord", {"ce": 1.0, "wcord": 1.0}),
        ("wcord+kd", {"ce": 1.0, "wcord": 1.0, "kd": 1.0}),
        ("crd+kd", {"ce": 1.0, "crd": 0.8, "kd": 1.0}),
        ("lskd", {"ce": 0.1, "lskd": 9.0}),
        ("lskd+wcord", {"ce": 0.1, "lskd": 9.0, "wcord": 1.0}),
    ],
)
def test_names_add_up_with_cross_entropy_once(method: str, weights: dict[str, float]) -> None:
    assert parse_method(method) == weights


def test_unknown_and_repeated_names_are_refused_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="unknown method 'wcrod': did you mean 'wcord'"):
        parse_method("wcrod+kd")
    with pytest.raises(UsageError, match="contains kd more than once"):
        parse_method("kd+wcord+kd")


def test_kd_alone_is_the_paper_weighting_of_both_losses() -> None:
    student, teacher = features(6, 5, 1), features(10, 5, 2)
    report = build_objective("kd", SETTING)(student, teacher, batch())
    expected = 0.1 * cross_entropy_loss(student.logits, batch().target) + 0.9 * kd_loss(student.logits, teacher.logits)
    torch.testing.assert_close(report.total, expected)


def test_wcord_formula_is_the_one_of_the_paper_reading() -> None:
    assert build_objective("wcord+kd", SETTING).formula == "1 ce + 0.8 gckt + 0.05 lckt + 1 kd"


def test_lskd_standardises_with_base_temperature_two() -> None:
    student, teacher = features(6, 5, 1), features(10, 5, 2)
    report = build_objective("lskd", SETTING)(student, teacher, batch())
    expected = kd_loss(student.logits, teacher.logits, temperature=2.0, standardize=True)
    torch.testing.assert_close(report.parts["lskd"], expected)


def test_options_reach_the_loss_and_unknown_ones_are_refused() -> None:
    student, teacher = features(6, 5, 1), features(10, 5, 2)
    report = build_objective("kd", SETTING, options={"kd": {"temperature": 2.0}})(student, teacher, batch())
    torch.testing.assert_close(report.parts["kd"], kd_loss(student.logits, teacher.logits, temperature=2.0))
    with pytest.raises(UsageError, match="unknown option of wcord 'epsilom': did you mean 'epsilon'"):
        build_objective("wcord", SETTING, options={"wcord": {"epsilom": 1}})
    with pytest.raises(UsageError, match="unknown method in the sum 'kd'"):
        build_objective("wcord", SETTING, options={"kd": {"temperature": 2.0}})


def test_other_classes_are_refused_under_kd_and_work_under_wcord() -> None:
    setting = Setting(student_dim=6, teacher_dim=10, student_classes=5, teacher_classes=7, num_samples=40)
    with pytest.raises(UsageError, match=r"kd compares logits, but the teacher has 7 classes and the student 5.*wcord"):
        build_objective("kd", setting)
    options = {"wcord": {"num_negatives": 16}}
    report = build_objective("wcord", setting, options=options)(features(6, 5, 1), features(10, 7, 2), batch())
    assert report.total.isfinite()


def test_what_data_cannot_give_is_refused() -> None:
    no_rows = Setting(student_dim=6, teacher_dim=10, student_classes=5, teacher_classes=5)
    with pytest.raises(UsageError, match=r"crd keeps a row per training sample.*num_samples"):
        build_objective("crd", no_rows)
    build_objective("wcord", no_rows)
    alone = Setting(student_dim=6, teacher_dim=10, student_classes=5, teacher_classes=5, num_samples=40, batch_size=1)
    with pytest.raises(UsageError, match="needs at least 2, received batches of 1"):
        build_objective("wcord", alone)


def test_two_methods_may_not_contain_the_same_term() -> None:
    with pytest.raises(UsageError, match=r"gckt and another method of .* both contain gckt: name one of them only"):
        build_objective("wcord+gckt", SETTING)


def test_a_method_may_have_another_weight_than_the_published_one() -> None:
    options = {"kd": {"weight": 2.5, "temperature": 2.0}, "ce": {"weight": 0}}
    objective = build_objective("crd+kd", SETTING, options=options)
    assert objective.formula == "0 ce + 0.8 crd + 2.5 kd"
    for wrong in (-1.0, float("nan"), "much", True):
        with pytest.raises(UsageError, match=r"kd\.weight must be a finite number of at least 0"):
            build_objective("kd", SETTING, options={"kd": {"weight": wrong}})


@pytest.mark.parametrize(
    ("method", "options", "formula"),
    [
        ("gckt", {}, "1 ce + 0.8 gckt"),
        ("lckt", {}, "1 ce + 0.05 lckt"),
        ("lckt-a", {}, "1 ce + 10 lckt"),
        ("wcord-a", {}, "1 ce + 0.8 gckt + 10 lckt"),
        ("wcord-a", {"wcord-a": {"lckt_weight": 3.0}}, "1 ce + 0.8 gckt + 3 lckt"),
        ("wcord", {"wcord": {"weight": 2, "gckt_weight": 0.25}}, "1 ce + 0.5 gckt + 0.1 lckt"),
        ("wcord", {"wcord": {"gckt_weight": 0}}, "1 ce + 0.05 lckt"),
    ],
)
def test_a_method_expands_to_its_terms(method: str, options: dict[str, dict[str, object]], formula: str) -> None:
    assert build_objective(method, SETTING, options=options).formula == formula


def test_options_of_wcord_go_to_the_terms_that_have_them() -> None:
    options = {"wcord": {"epsilon": 0.3, "num_negatives": 7, "anchor": 0.25}}
    terms = build_objective("wcord", SETTING, options=options).terms
    gckt, lckt = terms["gckt"].loss, terms["lckt"].loss
    assert (gckt.contrast.num_negatives, lckt.epsilon, lckt.anchor.alpha) == (7, 0.3, 0.25)
    anchored = build_objective("lckt-a", SETTING).terms["lckt"].loss
    assert (anchored.anchor.alpha, isinstance(anchored.student_moments, torch.nn.BatchNorm1d)) == (0.5, True)
    with pytest.raises(UsageError, match="unknown option of lckt 'num_negatives'"):
        build_objective("lckt", SETTING, options={"lckt": {"num_negatives": 7}})
    with pytest.raises(UsageError, match="wcord has no term: give one of gckt_weight, lckt_weight a value above 0"):
        build_objective("wcord", SETTING, options={"wcord": {"gckt_weight": 0, "lckt_weight": 0}})
    with pytest.raises(UsageError, match="option 'features' of wcord was removed: LCKT compares"):
        build_objective("wcord", SETTING, options={"wcord": {"features": "critic"}})


def test_a_record_holds_all_options_of_wcord_under_its_name() -> None:
    resolved = resolved_options("wcord-a+kd", {"wcord-a": {"epsilon": 0.2}})
    assert list(resolved) == ["ce", "wcord-a", "kd"]
    expected = {"weight": 1.0, "gckt_weight": 0.8, "lckt_weight": 10.0, "epsilon": 0.2, "anchor": 0.5, "momentum": 0.5}
    assert {name: resolved["wcord-a"][name] for name in expected} == expected
