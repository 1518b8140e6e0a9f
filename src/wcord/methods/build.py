"""From a method's name to its objective: parse the sum, weigh it, build the terms, check what they need."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from importlib import import_module
from typing import Any, cast

from torch import Tensor, nn

from wcord import checks
from wcord.checks import UsageError
from wcord.features import map_names
from wcord.losses.wcord import require_option as require_wcord_option
from wcord.methods.catalogue import METHODS
from wcord.methods.objective import Objective
from wcord.methods.setting import Setting
from wcord.methods.term import Term, naming

Options = Mapping[str, Mapping[str, object]]
"""Method → option → value, as in `--set wcord.epsilon=0.1`."""

WEIGHT = "weight"
"""The option of every method that replaces its published factor."""

FROM_SETTING = frozenset({"num_samples"})
"""Keyword-only arguments of losses that come from the setting and are not options."""


def parse_method(method: str, options: Options | None = None) -> dict[str, float]:
    """Return the methods of a sum such as `wcord+kd` and their weights, cross-entropy first.

    A sum has cross-entropy once, with weight 1 unless a method sets a lower one; `kd` alone is 0.1 ce + 0.9 kd.

    >>> parse_method("wcord+kd")
    {'ce': 1.0, 'wcord': 1.0, 'kd': 1.0}
    >>> parse_method("kd")
    {'ce': 0.1, 'kd': 0.9}

    Args:
        method: names joined by `+`.
        options: as in `build_objective`; of some methods an option is the weight of cross-entropy.

    Raises:
        UsageError: on an unknown or repeated method; the nearest name is suggested.
    """
    checks.require_kind("method", method, str, "the name of a method, such as 'wcord+kd'")
    names = [name.strip() for name in method.split("+")]
    for name in names:
        if not name:
            raise UsageError(f"method {method!r} has an empty name: name a method on each side of +, as in wcord+kd")
        checks.require_choice("method", name, METHODS)
        if names.count(name) > 1:
            raise UsageError(f"method {method!r} contains {name} more than once: name each method once")
    if len(names) == 1 and (alone := METHODS[names[0]].alone) is not None:
        return {"ce": alone[0], names[0]: alone[1]}
    names = [name for name in names if name != "ce"]
    cross_entropy = min((_cross_entropy(name, (options or {}).get(name, {})) for name in names), default=1.0)
    return {"ce": cross_entropy} | {name: METHODS[name].weight for name in names}


def build_objective(method: str, setting: Setting, *, options: Options | None = None, labels: bool = True) -> Objective:
    """Return the objective of a method such as `wcord+kd`; raise if the setting lacks what it needs.

    Args:
        method: names joined by `+`, see `wcord list`.
        setting: widths, classes, rows, batch size.
        options: method → option → value; options are the keyword arguments of the method's losses, and `weight`, its
            factor in the sum. A method of several terms, such as `wcord`, gives each option to the terms that have it.
        labels: whether samples have labels; if not, the sum has no cross-entropy.

    Raises:
        UsageError: on unknown names and options, and if a term lacks what it needs.
    """
    weights = parse_method(method, options)
    if not labels:
        weights = {name: weight for name, weight in weights.items() if name != "ce"}
        if not weights:
            raise UsageError(f"method {method!r} learns from labels, but there are none: use kd, wcord or crd")
    options = options or {}
    for name in options:
        if name not in weights:
            raise checks.unknown("method in the sum", name, weights)
    terms: dict[str, tuple[float, Term]] = {}
    for name, published in weights.items():
        for term, weighted in _build_terms(name, published, setting, options.get(name, {})).items():
            if term in terms:
                raise UsageError(f"{name} and another method of {method!r} both contain {term}: name one of them only")
            terms[term] = weighted
    objective = Objective(terms)
    objective.check(setting)
    for name, (_, term) in terms.items():
        if term.needs.labels and not labels:
            raise UsageError(
                f"{name} learns from labels, but there are none: leave out --no-labels, or use a method without labels "
                "(wcord, crd, kd)"
            )
    return objective


def adapt_student(
    method: str,
    student: nn.Module,
    teacher: nn.Module,
    sample: Tensor | None = None,
    teacher_sample: Tensor | None = None,
) -> nn.Module:
    """Return the network that a method trains: the student itself, or the network that a method makes of it (simkd).

    Args:
        method: names joined by `+`.
        student: the student network.
        teacher: the trained network.
        sample: a batch of the student's inputs.
        teacher_sample: a batch of the teacher's inputs; default: the student's.
    """
    for name in parse_method(method):
        place = METHODS[name].adapt_student
        if place is not None:
            adapt: Callable[..., nn.Module] = _imported(place)
            student = adapt(student, teacher, sample, teacher_sample=teacher_sample)
    return student


def adapts_teacher(method: str) -> str | None:
    """Return the method of a sum that adds trainable parts to the teacher, or None.

    Raises:
        UsageError: several do.
    """
    names = [name for name in parse_method(method) if METHODS[name].adapt_teacher is not None]
    if len(names) > 1:
        raise UsageError(f"{' and '.join(names)} each add parts to the teacher: name one of them only")
    return names[0] if names else None


def adapt_teacher(
    method: str,
    teacher: nn.Module,
    student: nn.Module,
    sample: Tensor | None = None,
    teacher_sample: Tensor | None = None,
    *,
    teacher_maps: Sequence[str] | None = None,
    options: Options | None = None,
) -> nn.Module:
    """Return the teacher that a method needs: the teacher itself, or a frozen copy with parts that train.

    The copy's own weights do not require gradients, its additions do: give these to an optimizer, and `objective.teach`
    as their loss. The catalogue names the function of a method, which takes (teacher, student, sample, teacher_sample,
    teacher_maps) and the method's options by keyword, and may change this copy of the teacher.

    Args:
        method: names joined by `+`.
        teacher: the trained network; it is not changed.
        student: the network to be trained.
        sample: a batch of the student's inputs; default: images of 32×32 pixels.
        teacher_sample: a batch of the teacher's inputs; default: the student's.
        teacher_maps: names of the teacher's maps, from stem to last; default: those that it states.
        options: method → option → value.

    Raises:
        UsageError: the teacher does not fit the method, or several methods add parts to it.
    """
    name = adapts_teacher(method)
    if name is None:
        return teacher
    place = METHODS[name].adapt_teacher
    assert place is not None, f"{name} adds no parts to the teacher"
    adapt: Callable[..., nn.Module] = _imported(place)
    known = {parameter.name for parameter in _keyword_only(adapt)}
    chosen = {**METHODS[name].options, **(options or {}).get(name, {})}
    device = next((parameter.device for parameter in teacher.parameters()), None)
    maps = tuple(map_names(teacher) if teacher_maps is None else teacher_maps)
    with naming(name):
        adapted = adapt(
            deepcopy(teacher).requires_grad_(False),
            student,
            sample,
            sample if teacher_sample is None else teacher_sample,
            maps,
            **{option: value for option, value in chosen.items() if option in known},
        )
    return adapted.to(device)


def shipped_name(method: str, student: str, teacher: str) -> str:
    """Return the name by which `create_model` builds what a method ships: `resnet8`, or `simkd:resnet8:resnet14`.

    >>> shipped_name("wcord+kd", "resnet8", "resnet14"), shipped_name("simkd", "resnet8", "resnet14")
    ('resnet8', 'simkd:resnet8:resnet14')
    """
    for name in parse_method(method):
        if METHODS[name].adapt_student is not None and not student.startswith(f"{name}:"):
            student = f"{name}:{student}:{teacher}"
    return student


def needs_rotations(method: str, options: Options | None = None) -> bool:
    """Return whether a method needs batches of turned views, see `Needs.rotations`.

    >>> needs_rotations("wcord+kd")
    False

    Args:
        method: names joined by `+`.
        options: as in `build_objective`; a term whose factor is 0 is left out.
    """
    options = options or {}
    return any(
        kind.needs.rotations and options.get(name, {}).get(f"{term}_{WEIGHT}") != 0
        for name in parse_method(method)
        for term, (_, kind) in _terms(name).items()
    )


def option_names(name: str) -> tuple[str, ...]:
    """Return the options of a method beside `weight`: its terms' factors, and keyword-only arguments of its losses."""
    return (*_factors(name), *(parameter.name for parameter in _options_of(name)))


def require_option(name: str, option: str, value: object) -> None:
    """Raise unless a method has an option, or had it in an earlier version with the value that still holds."""
    known = (*option_names(name), WEIGHT)
    if {"gckt", "lckt"} & METHODS[name].terms.keys():
        require_wcord_option(name, option, value, known)
    else:
        checks.require_choice(f"option of {name}", option, known)


def resolved_options(method: str, options: Options | None = None) -> dict[str, dict[str, object]]:
    """Return method → its weight and all its options, defaults included.

    >>> resolved_options("lskd")["lskd"]["standardize"], resolved_options("kd", {"kd": {"temperature": 2}})["kd"]
    (True, {'weight': 0.9, 'temperature': 2, 'standardize': False})
    """
    options = options or {}
    resolved: dict[str, dict[str, object]] = {}
    for name, published in parse_method(method, options).items():
        defaults = {parameter.name: parameter.default for parameter in _options_of(name)}
        resolved[name] = {
            WEIGHT: published, **_factors(name), **defaults, **METHODS[name].options, **options.get(name, {})
        }  # fmt: skip
    return resolved


def _terms(name: str) -> dict[str, tuple[float, type[Term]]]:
    """Return the name, the factor and the class of each of a method's terms; classes are imported on first use."""
    terms = METHODS[name].terms or {name: (1.0, METHODS[name].term)}
    return {term: (factor, _imported(place)) for term, (factor, place) in terms.items()}


def _cross_entropy(name: str, options: Mapping[str, object]) -> float:
    """Return the factor of cross-entropy that a method sets, which may be one of its options."""
    factor = METHODS[name].cross_entropy
    if not isinstance(factor, str):
        return factor
    defaults = {parameter.name: parameter.default for parameter in _options_of(name)}
    return _weight(f"{name}.{factor}", options.get(factor, defaults[factor]))


def _factors(name: str) -> dict[str, float]:
    """Return the options that replace the factors of a method's terms, such as `gckt_weight`."""
    return {f"{term}_{WEIGHT}": factor for term, (factor, _) in METHODS[name].terms.items()}


def _options_of(name: str) -> list[inspect.Parameter]:
    """Return the arguments that are options of a method: of its terms, their losses, and what adapts its teacher."""
    place = METHODS[name].adapt_teacher
    parameters = [*_option_parameters(_terms(name)), *(_keyword_only(_imported(place)) if place is not None else ())]
    return list({parameter.name: parameter for parameter in parameters}.values())


def _option_parameters(terms: Mapping[str, tuple[float, type[Term]]]) -> list[inspect.Parameter]:
    """Return the keyword-only arguments of terms and their losses, each name once."""
    kinds = [kind for _, kind in terms.values()]
    sources = [source for kind in kinds for source in (kind.__init__, kind.loss_signature) if source is not None]
    return list({parameter.name: parameter for source in sources for parameter in _keyword_only(source)}.values())


def _keyword_only(function: Callable[..., object]) -> list[inspect.Parameter]:
    parameters = inspect.signature(function).parameters.values()
    return [p for p in parameters if p.kind is p.KEYWORD_ONLY and p.name not in FROM_SETTING]


def _build_terms(
    name: str, published: float, setting: Setting, options: Mapping[str, object]
) -> dict[str, tuple[float, Term]]:
    """Return the terms of a method with their weights; a term whose factor is 0 is left out."""
    for option, value in options.items():
        require_option(name, option, value)
    weight = _weight(f"{name}.{WEIGHT}", options.get(WEIGHT, published))
    built: dict[str, tuple[float, Term]] = {}
    for term, (factor, kind) in _terms(name).items():
        option = f"{term}_{WEIGHT}"
        factor = _weight(f"{name}.{option}", options.get(option, factor)) if option in _factors(name) else factor
        if factor:
            built[term] = (weight * factor, _build_term(name, term, kind, setting, options))
    if not built:
        raise UsageError(f"{name} has no term: give one of {', '.join(_factors(name))} a value above 0")
    return built


def _build_term(name: str, term: str, kind: type[Term], setting: Setting, options: Mapping[str, object]) -> Term:
    known = {parameter.name for parameter in _option_parameters({term: (1.0, kind)})}
    chosen = {option: value for option, value in {**METHODS[name].options, **options}.items() if option in known}
    try:
        with naming(name):
            return kind(term, setting, **chosen)
    except UsageError:  # it says what is wrong already
        raise
    except (TypeError, RuntimeError, ArithmeticError) as error:
        if not options:
            raise
        listed = ", ".join(f"{name}.{option}={value}" for option, value in options.items())
        raise UsageError(f"{name} cannot be built with {listed}: {' '.join(str(error).split())[:300]}") from None


def _weight(name: str, value: object) -> float:
    checks.require_number(name, value, low=0)
    return float(cast(float, value))


def _imported(place: str) -> Any:
    module, _, attribute = place.partition(":")
    return getattr(import_module(module), attribute)
