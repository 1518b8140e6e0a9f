"""The rows of the related systems: their papers' weights, and which of them are reconstructions."""

import pytest

from wcord.methods.build import parse_method, resolved_options
from wcord.methods.catalogue import METHODS, is_reconstruction
from wcord.methods.related import RELATED


def test_they_are_methods_as_all_others_are() -> None:
    assert RELATED.items() <= METHODS.items()


@pytest.mark.parametrize(
    ("method", "published"),
    [
        ("ickd", {"ce": 1.0, "ickd": 2.5}),
        ("ickd+kd", {"ce": 1.0, "ickd": 2.5, "kd": 1.0}),
        ("sskd", {"ce": 0.1, "sskd": 1.0}),
        ("mlkd", {"ce": 1.0, "mlkd": 1.0}),
        ("4ds", {"ce": 1.0, "4ds": 1.0}),
        ("lakd", {"ce": 0.5, "lakd": 1.0}),
        ("apt", {"ce": 1.0, "apt": 1.0}),
    ],
)
def test_sums_have_the_published_weights(method: str, published: dict[str, float]) -> None:
    assert parse_method(method) == published


def test_their_parts_have_the_published_weights() -> None:
    factors = {name: {term: factor for term, (factor, _) in RELATED[name].terms.items()} for name in ("sskd", "mlkd")}
    assert factors["sskd"] == {"sskd_kd": 0.9, "sskd_turned": 2.7, "sskd_similarity": 10.0}
    assert factors["mlkd"] == {"mlkd_align": 20.0, "mlkd_corr": 50.0, "mlkd_sup": 1.0}
    fourds = resolved_options("4ds")["4ds"]
    assert (fourds["feature_weight"], fourds["theta"], fourds["teacher_mode"]) == (0.1, 0.0, "train")


def test_a_factor_that_is_an_option_follows_it() -> None:
    assert parse_method("lakd+kd", {"lakd": {"alpha": 0.25}}) == {"ce": 0.25, "lakd": 1.0, "kd": 1.0}


def test_reconstructions_say_so() -> None:
    rebuilt = {name for name in METHODS if is_reconstruction(name)}
    assert rebuilt == {"lakd", "apt"}
    for name in rebuilt:
        assert "(reconstruction)" in RELATED[name].title
        assert "published no code" in RELATED[name].checked
