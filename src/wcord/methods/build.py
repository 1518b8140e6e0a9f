"""From a method's name to its objective: parse the sum, weigh it, build the terms, check what they need."""

import inspect
from collections.abc import Callable, Mapping

from wcord import checks
from wcord.checks import UsageError
from wcord.losses import CRDLoss, WCoRDLoss, kd_loss
from wcord.methods.catalogue import METHODS
from wcord.methods.ce import CETerm
from wcord.methods.crd import CRDTerm
from wcord.methods.kd import KDTerm
from wcord.methods.term import Objective, Setting, Term
from wcord.methods.wcord import WCoRDTerm

Options = Mapping[str, Mapping[str, object]]
"""Summand → option → value, as `--set wcord.epsilon=0.1` says it."""

_SIGNATURES: dict[str, Callable[..., object]] = {"kd": kd_loss, "crd": CRDLoss, "wcord": WCoRDLoss}
"""Where the options of a family and their defaults stand."""


def parse_method(method: str) -> dict[str, float]:
    """Return the summands of a method's name and their weights, cross-entropy first.

    A sum has cross-entropy once, with weight 1 unless a summand asks for less; `kd` alone is 0.1 ce + 0.9 kd.

    >>> parse_method("wcord+kd")
    {'ce': 1.0, 'wcord': 1.0, 'kd': 1.0}
    >>> parse_method("kd")
    {'ce': 0.1, 'kd': 0.9}

    Raises:
        UsageError: on an unknown or repeated summand; the nearest name is offered.
    """
    names = [name.strip() for name in method.split("+")]
    for name in names:
        checks.require_choice("method", name, METHODS)
        if names.count(name) > 1:
            raise UsageError(f"method {method!r} holds {name} more than once: name each summand once")
    if len(names) == 1 and (alone := METHODS[names[0]].alone) is not None:
        return {"ce": alone[0], names[0]: alone[1]}
    summands = [name for name in names if name != "ce"]
    cross_entropy = min((METHODS[name].cross_entropy for name in summands), default=1.0)
    return {"ce": cross_entropy} | {name: METHODS[name].weight for name in summands}


def build_objective(method: str, setting: Setting, *, options: Options | None = None) -> Objective:
    """Return the objective of a method such as `wcord+kd` in a setting, refusing what it cannot give.

    Args:
        method: summands joined by `+`, see `wcord list`.
        setting: widths, classes, rows, batch size.
        options: summand → option → value; options are the keyword arguments of the summand's loss.

    Raises:
        UsageError: on unknown names and options, and where a term lacks what it needs.
    """
    weights = parse_method(method)
    given = options or {}
    for name in given:
        if name not in weights:
            raise checks.unknown("summand", name, weights)
    objective = Objective(
        {name: (weight, _build_term(name, setting, given.get(name, {}))) for name, weight in weights.items()}
    )
    objective.check(setting)
    return objective


def option_names(name: str) -> tuple[str, ...]:
    """Return the options that a summand takes: the keyword-only arguments of its loss."""
    family = METHODS[name].family
    if family not in _SIGNATURES:
        return ()
    parameters = inspect.signature(_SIGNATURES[family]).parameters.values()
    return tuple(p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.name != "num_samples")


def _build_term(name: str, setting: Setting, given: Mapping[str, object]) -> Term:
    for option in given:
        checks.require_choice(f"option of {name}", option, option_names(name))
    info = METHODS[name]
    options = {**info.options, **given}
    match info.family:
        case "ce":
            return CETerm(setting)
        case "kd":
            return KDTerm(name, setting, **options)
        case "crd":
            return CRDTerm(name, setting, **options)
        case "wcord":
            return WCoRDTerm(setting, **options)
        case _:
            raise AssertionError(f"{name} has no term class for family {info.family}")
