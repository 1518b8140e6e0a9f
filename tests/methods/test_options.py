"""`--set` settings as the command line says them."""

import pytest

from wcord.checks import UsageError
from wcord.methods.options import parse_options


def test_values_keep_their_kind() -> None:
    parsed = parse_options(
        ["wcord.epsilon=0.1", "wcord.iterations=20", "wcord.estimator=expected", "kd.standardize=True"]
    )
    assert parsed == {
        "wcord": {"epsilon": 0.1, "iterations": 20, "estimator": "expected"},
        "kd": {"standardize": True},
    }


@pytest.mark.parametrize("setting", ["epsilon=0.1", "wcord.epsilon", "wcord.=3", "=3"])
def test_other_forms_are_refused(setting: str) -> None:
    with pytest.raises(UsageError, match=r"METHOD\.OPTION=VALUE"):
        parse_options([setting])
