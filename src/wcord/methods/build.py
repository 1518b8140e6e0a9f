"""From a method's name to its objective: parse the sum, weigh it, build the terms, check what they need."""

import inspect
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, cast

from torch import Tensor, nn

from wcord import checks
from wcord.checks import UsageError
from wcord.methods.catalogue import METHODS
from wcord.methods.term import Objective, Setting, Term, naming

Options = Mapping[str, Mapping[str, object]]
"""Summand → option → value, as `--set wcord.epsilon=0.1` says it."""

WEIGHT = "weight"
"""The option of every summand that stands in for its published factor."""

FROM_SETTING = frozenset({"num_samples"})
"""Keyword-only arguments of losses that the setting gives, and no option."""


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
    checks.require_kind("method", method, str, "the name of a method, such as 'wcord+kd'")
    names = [name.strip() for name in method.split("+")]
    for name in names:
        if not name:
            raise UsageError(f"method {method!r} has an empty summand: name one on each side of +, as in wcord+kd")
        checks.require_choice("method", name, METHODS)
        if names.count(name) > 1:
            raise UsageError(f"method {method!r} holds {name} more than once: name each summand once")
    if len(names) == 1 and (alone := METHODS[names[0]].alone) is not None:
        return {"ce": alone[0], names[0]: alone[1]}
    summands = [name for name in names if name != "ce"]
    cross_entropy = min((METHODS[name].cross_entropy for name in summands), default=1.0)
    return {"ce": cross_entropy} | {name: METHODS[name].weight for name in summands}


def build_objective(method: str, setting: Setting, *, options: Options | None = None, labels: bool = True) -> Objective:
    """Return the objective of a method such as `wcord+kd` in a setting, refusing what it cannot give.

    Args:
        method: summands joined by `+`, see `wcord list`.
        setting: widths, classes, rows, batch size.
        options: summand → option → value; options are the keyword arguments of the summand's loss, and `weight`, its
            factor in the sum.
        labels: whether samples have labels; without, the sum has no cross-entropy.

    Raises:
        UsageError: on unknown names and options, and where a term lacks what it needs.
    """
    weights = parse_method(method)
    if not labels:
        weights = {name: weight for name, weight in weights.items() if name != "ce"}
        if not weights:
            raise UsageError(f"method {method!r} learns from labels, of which there are none: use kd, wcord or crd")
    given = options or {}
    for name in given:
        if name not in weights:
            raise checks.unknown("summand", name, weights)
    terms: dict[str, tuple[float, Term]] = {}
    for name, published in weights.items():
        chosen = dict(given.get(name, {}))
        weight = _weight(name, chosen.pop(WEIGHT, published))
        terms[name] = (weight, _build_term(name, setting, chosen))
    objective = Objective(terms)
    objective.check(setting)
    return objective


def adapt_student(
    method: str,
    student: nn.Module,
    teacher: nn.Module,
    sample: Tensor | None = None,
    teacher_sample: Tensor | None = None,
) -> nn.Module:
    """Return the network that a method trains: the student itself, or what a summand makes of it (simkd).

    Args:
        method: summands joined by `+`.
        student: the network that was asked for.
        teacher: the trained network.
        sample: a batch of what the student sees.
        teacher_sample: a batch of what the teacher sees; default: the student's.
    """
    for name in parse_method(method):
        place = METHODS[name].adapt_student
        if place is not None:
            adapt: Callable[..., nn.Module] = _imported(place)
            student = adapt(student, teacher, sample, teacher_sample=teacher_sample)
    return student


def shipped_name(method: str, student: str, teacher: str) -> str:
    """Return the name by which `create_model` builds what a method ships: `resnet8`, or `simkd:resnet8:resnet14`.

    >>> shipped_name("wcord+kd", "resnet8", "resnet14"), shipped_name("simkd", "resnet8", "resnet14")
    ('resnet8', 'simkd:resnet8:resnet14')
    """
    for name in parse_method(method):
        if METHODS[name].adapt_student is not None and not student.startswith(f"{name}:"):
            student = f"{name}:{student}:{teacher}"
    return student


def option_names(name: str) -> tuple[str, ...]:
    """Return the options that a summand takes beside `weight`: keyword-only arguments of its term and its loss."""
    return tuple(dict.fromkeys(parameter.name for parameter in _option_parameters(name)))


def resolved_options(method: str, options: Options | None = None) -> dict[str, dict[str, object]]:
    """Return summand → its weight and all its options, those that stand on their defaults too.

    >>> resolved_options("lskd")["lskd"]["standardize"], resolved_options("kd", {"kd": {"temperature": 2}})["kd"]
    (True, {'weight': 0.9, 'temperature': 2, 'standardize': False})
    """
    given = options or {}
    found: dict[str, dict[str, object]] = {}
    for name, published in parse_method(method).items():
        defaults = {parameter.name: parameter.default for parameter in _option_parameters(name)}
        found[name] = {WEIGHT: published, **defaults, **METHODS[name].options, **given.get(name, {})}
    return found


def _option_parameters(name: str) -> list[inspect.Parameter]:
    kind = _term_class(name)
    sources = [kind.__init__] if kind.loss_signature is None else [kind.__init__, kind.loss_signature]
    parameters = [p for source in sources for p in inspect.signature(source).parameters.values()]
    return [p for p in parameters if p.kind is p.KEYWORD_ONLY and p.name not in FROM_SETTING]


def _weight(name: str, value: object) -> float:
    checks.require_number(f"{name}.{WEIGHT}", value, low=0)
    return float(cast(float, value))


def _build_term(name: str, setting: Setting, given: Mapping[str, object]) -> Term:
    for option in given:
        checks.require_choice(f"option of {name}", option, (*option_names(name), WEIGHT))
    try:
        with naming(name):
            return _term_class(name)(name, setting, **{**METHODS[name].options, **given})
    except (TypeError, RuntimeError, ArithmeticError) as error:
        if not given:
            raise
        said = ", ".join(f"{name}.{option}={value}" for option, value in given.items())
        raise UsageError(f"{name} cannot be built with {said}: {' '.join(str(error).split())[:300]}") from None


def _term_class(name: str) -> type[Term]:
    """Return the class that the catalogue names; it is imported when first asked for."""
    found: type[Term] = _imported(METHODS[name].term)
    return found


def _imported(place: str) -> Any:
    module, _, attribute = place.partition(":")
    return getattr(import_module(module), attribute)
