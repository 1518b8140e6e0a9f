"""A trained network: its accuracy, its predictions on single records, the quality of its representation."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import NoneType
from typing import Any

import torch
from torch import Tensor, nn

from wcord.api.conclude import predict_all
from wcord.bounds import checked
from wcord.checks import RunError, UsageError, require_bool, require_counts, require_kind, require_list
from wcord.data.config import DataConfig
from wcord.data.dataset import DataSet
from wcord.data.label_values import refuse_several
from wcord.data.labels import number_by_name, require_several_classes
from wcord.data.loader import Loader
from wcord.data.memory import MIXED_SIZE
from wcord.data.split import Split, moved
from wcord.data.view import View
from wcord.evaluation.accuracy import Predictions, accuracy
from wcord.evaluation.chance import standing
from wcord.evaluation.order import other_order
from wcord.evaluation.probe import DRAWS, Representation, few_shot, linear_probe, nearest_neighbours
from wcord.evaluation.symptoms import NETWORK_CAUSES, doubts
from wcord.evaluation.verification import Verification
from wcord.evaluation.verification import verify as verify_pairs
from wcord.models.network import Network
from wcord.models.trial import on_trial, try_network
from wcord.models.weights import is_own_code, open_network, read_card, refuse_own_code, require_as_large
from wcord.paths import require_file
from wcord.setup.as_trained import card_in, known_of, open_as_trained
from wcord.setup.job import EVALUATION_BATCH
from wcord.setup.networks import NetworkSpec, build_network, wrong_channels
from wcord.terminal import Reporter, tell
from wcord.training.config import flatten
from wcord.training.engine import resolve_device

COLLAPSED = 1e-3
"""Spread of embeddings, relative to their length, below which they differ by little more than rounding."""


def evaluate(
    model: str | nn.Module | None = None,
    *,
    weights: str | Path | None = None,
    data: str | DataConfig | DataSet = "digits",
    mean: tuple[float, ...] | None = None,
    std: tuple[float, ...] | None = None,
    device: str = "auto",
    classes_by_number: bool = False,
    pretrained: bool = False,
    ema: bool = False,
    embedding: str | None = None,
    say: Reporter = tell,
    **settings: Any,
) -> dict[str, float]:
    """Return a network's `accuracy` on the evaluation split: top-1, balanced accuracy and the like.

    Unless set otherwise, the weights' card sets the network's view and, if the data have no test split, the held-out
    samples. Classes are matched by name if both the data and the network name them.

    Args:
        model: name, or a module; may be left out if the weights have a card.
        weights: its weights.
        data: source as in `--data`, its configuration, or a data set.
        mean: mean for the normalization of the input; default: that of the file, timm or the training data.
        std: standard deviation for the normalization of the input.
        device: where to compute.
        classes_by_number: match the classes by number, whatever their names.
        pretrained: use the library's default pretrained weights if the name has none.
        ema: use the moving average that the weights file holds beside the weights.
        embedding: path of the module whose input is the embedding; default: that of the card, else the classifier.
        say: takes lines on the data and on reasons to doubt the numbers: a network at chance, or one with the classes
            in another order.
        **settings: settings of named data: label, image_size, …

    Raises:
        UsageError: a mistake in the arguments, or a class in the data that the network lacks.
    """
    require_kind("model", model, (str, nn.Module, NoneType), "the name of a network or a torch.nn.Module")
    for flag, value in (("classes_by_number", classes_by_number), ("pretrained", pretrained), ("ema", ema)):
        require_bool(flag, value)
    config = _config(data, settings)
    path = None if weights is None else require_file(weights, "weights file")
    name = type(model).__name__ if isinstance(model, nn.Module) else _name(model, path)
    spec = NetworkSpec("model", name, path, mean=mean, std=std, pretrained=pretrained, ema=ema, embedding=embedding)
    if isinstance(model, str) and path is None and not spec.by_name and not is_own_code(name):
        raise UsageError(f"{name} has random weights: give --weights FILE")
    opened = open_as_trained(config, path, spec.frame) if isinstance(config, DataConfig) else config
    _require_same_kind_of_labels(path, opened)
    network = build_network(spec, opened, module=model if isinstance(model, nn.Module) else None, say=say)
    predictions = _predictions(network, opened.test, config, device)
    number = None if classes_by_number else number_by_name(opened.classes, network.classes)
    if number is None and not classes_by_number:
        _say_numbers(opened.classes, network.classes, say)
    if number is not None:
        predictions = replace(predictions, targets=_renumbered(predictions.targets, number, predictions.num_classes))
    measured = accuracy(predictions)
    for line in opened.notes if isinstance(config, DataConfig) else ():
        say(f"note: {line}")
    for line in _doubts(predictions, opened.classes if number is None else network.classes, named=number is not None):
        say(f"note: {line}")
    return measured


def _require_same_kind_of_labels(weights: Path | None, data: DataSet) -> None:
    """Raise if the network is for several labels a sample and the data have one class each, or the reverse."""
    card = None if weights is None else read_card(weights)
    if card is None or card.several_labels == data.several_labels:
        return
    kinds = {True: "several labels a sample", False: "one class a sample"}
    raise UsageError(
        f"the network in {str(weights)!r} was trained for {kinds[card.several_labels]}, and the data have "
        f"{kinds[data.several_labels]}: measure it on data of the same kind"
    )


def _doubts(predictions: Predictions, classes: tuple[str, ...], *, named: bool) -> list[str]:
    """Return why a network's measured accuracy may be misleading.

    Args:
        predictions: its predictions.
        classes: names of the classes.
        named: whether its classes were matched to the data's by their names, so that their order is not the cause.
    """
    if predictions.several_labels:
        return []
    order = other_order(predictions, classes)
    if order is not None and named:
        return [
            f"the network {order.text}, although they are matched by name: its weights were saved with the "
            "names in another order, or its input differs from that of its training"
        ]
    if order is not None:
        return [f"the network {order.text}: {order.remedy}"]
    return doubts(standing(predictions), "the network", classes, NETWORK_CAUSES)


def _say_numbers(data_classes: Sequence[str], network_classes: Sequence[str], say: Reporter) -> None:
    """Report that classes are compared by number although both sides name them differently."""
    pairs = [f"{one!r} as {other!r}" for one, other in zip(data_classes, network_classes, strict=False) if one != other]
    if pairs or (data_classes and network_classes and len(data_classes) != len(network_classes)):
        some = ", ".join(pairs[:3]) + (", …" if len(pairs) > 3 else "")
        say(
            f"note: the data's {len(data_classes)} classes and the network's {len(network_classes)} "
            "are compared by number"
            + (f": {some}; the accuracy means nothing unless these are the same things" if some else "")
        )


def _renumbered(targets: Tensor, number: Tensor, classes: int) -> Tensor:
    """Return the data's labels in the order of the network's classes, by `number`: data class → network class."""
    if not targets.is_floating_point():
        return number[targets]
    return targets.new_zeros(len(targets), classes).index_copy(1, number, targets)


@dataclass(frozen=True)
class Guess:
    """A network's prediction for one record: its most probable classes, best first.

    If a record may have several labels: all labels of probability 0.5 or more, or none.

    Attributes:
        record: its file, and the row of a table.
        classes: names of the classes; empty if the file could not be read.
        probabilities: probabilities of the classes.
        error: why the file could not be read; empty otherwise.
    """

    record: str
    classes: tuple[str, ...]
    probabilities: tuple[float, ...]
    error: str = ""


def predict_files(
    weights: str | Path,
    paths: str | Path | Sequence[str | Path],
    *,
    model: str | None = None,
    top: int = 3,
    device: str = "auto",
    say: Callable[[str], None] | None = None,
) -> list[Guess]:
    """Return the most probable classes of pictures, sounds or rows of tables, from a student's file alone.

    Files that cannot be read are in the list too, with the reason in `Guess.error`.

    Args:
        weights: a file with a card, such as a run's student.safetensors.
        paths: files, or folders, whose files of the network's kind of data are read, except hidden ones. Each row of a
            table is a record; the card names its columns.
        model: its architecture, if that is your own code.
        top: number of classes; a network for several labels gives all that are more probable than not.
        device: where to compute.
        say: takes a line on skipped files in folders.

    Raises:
        UsageError: a file is missing, a folder holds no data of the network's kind, or none of the named files can be
            read.
        RunError: none of the files in folders can be read.
    """
    from wcord.data import records  # tables and sounds take a second to load
    from wcord.data.walk import Skipped

    require_counts(top=top)
    paths = [paths] if isinstance(paths, str | Path) else paths
    where = resolve_device(device)
    network, card = open_network(weights, model=model).to(where), card_in(Path(weights))
    assert card is not None  # open_network refuses a file without a card
    height, width = card.image_size or (MIXED_SIZE, MIXED_SIZE)
    network_input = (card.in_channels, height, width)
    shape = network_input if width == 1 else card.record or network_input  # a row of a table is one visit
    sounds = card.extra.get("sounds")  # older files lack it
    records.require_single_records(shape, card.columns)
    kind, skipped = records.kind_of_records(shape, sounds=sounds), Skipped()
    files = records.find_files([Path(path) for path in paths], kind, skipped)
    if say is not None:
        for note in skipped.note(kind):
            say(note)
    settings = {"fraction": card.crop_fraction, "sounds": sounds}
    guesses: list[Guess] = []
    for file in files:
        try:
            read = records.read_records(file, shape, card.columns, known_of(card), **settings)
        except UsageError as error:
            guesses.append(Guess(str(file), (), (), str(error)))
            continue
        for name, record in read.items():
            channels, height, width = record.shape[1:]
            view = View.parse(card.view).fitted((channels, height, width), card.in_channels)
            several = card.several_labels
            guesses.append(_guess(network, name, moved(view(record), where), top, several_labels=several))
    if guesses and all(guess.error for guess in guesses):
        named = any(Path(path).is_file() for path in paths)
        prefix = f"none of the {len(guesses)} files can be read; the first: " if len(guesses) > 1 else ""
        raise (UsageError if named else RunError)(f"{prefix}{guesses[0].error}")
    return guesses


def _guess(network: Network, name: str, record: Tensor, top: int, *, several_labels: bool) -> Guess:
    with torch.inference_mode(), on_trial("network", record.shape):
        logits = network(record).float()[0].cpu()
    if not bool(logits.isfinite().all()):
        raise UsageError(
            f"the network gives NaN for {name!r}: its weights, or the mean and std of its input, are damaged"
        )
    probabilities = logits.sigmoid() if several_labels else logits.softmax(dim=0)
    count = int((probabilities >= 0.5).sum()) if several_labels else min(top, len(probabilities))
    best = probabilities.topk(count)
    names = tuple(network.classes[i] if network.classes else str(i) for i in best.indices.tolist())
    return Guess(name, names, tuple(best.values.tolist()))


def probe(
    weights: str | Path,
    *,
    data: str | DataConfig | DataSet = "digits",
    model: str | None = None,
    neighbours: int = 20,
    shots: Sequence[int] = (),
    verify: Sequence[float] = (),
    device: str = "auto",
    **settings: Any,
) -> dict[str, Any]:
    """Return the accuracy of probes on a frozen network's embedding, as `wcord probe` does.

    Pictures get the frame and the channels of the network's training. BatchNorm is frozen, nothing is augmented, and
    each image passes through the network once.

    Args:
        weights: a file that names its network, such as a run's student.safetensors.
        data: source as in `--data`, its configuration, or a data set.
        model: its architecture, if that is your own code.
        neighbours: number of nearest neighbors that vote; 0: no such probe.
        shots: also fit on these numbers of samples a class, ten times each.
        verify: also verify the pairs of test samples at these false accept rates, with the classes as identities.
        device: where to compute.
        **settings: settings of named data: label, subset, …

    Returns:
        `top1`: probe → accuracy in percent, or its mean and standard deviation for few shots; the network and the data,
        with the method and the seed of a run's student. `verification`, if requested: false accept rate → the fields of
        `evaluation.Verification`. `doubts`: why the accuracy may be misleading.

    Raises:
        UsageError: a mistake in the arguments.
    """
    network, card = open_network(weights, model=model), read_card(weights)
    assert card is not None  # open_network refuses a file without a card
    require_list("shots", shots)
    require_list("verify", verify)
    config = _config(data, settings)
    opened = open_as_trained(config, Path(weights)) if isinstance(config, DataConfig) else config
    refuse_several(opened.train.targets, "wcord probe")
    require_several_classes(opened.classes)
    if card.in_channels != opened.train.shape[0]:
        raise wrong_channels(f"the weights {str(weights)!r}", card.in_channels, opened.train.shape[0])
    try_network("network", network, opened.train.shape)
    halves = [_predictions(network, split, config, device) for split in (opened.train, opened.test)]
    representation = Representation(halves[0].embeddings, halves[0].targets, halves[1].embeddings, halves[1].targets)
    accuracies: dict[str, Any] = {"linear": linear_probe(representation)}
    if neighbours:
        accuracies[f"{neighbours} nearest neighbours"] = nearest_neighbours(representation, neighbours=neighbours)
    for count in shots:
        mean, std = few_shot(representation, count)
        accuracies[f"linear, {count} a class"] = {"mean": mean, "std": std, "draws": DRAWS}
    verified = {f"{far:g}": verify_pairs(halves[1].embeddings, halves[1].targets, far=far) for far in verify}
    origin = {name: card.extra[name] for name in ("method", "seed") if name in card.extra}
    return {
        "weights": str(weights),
        "architecture": card.architecture,
        **origin,
        "data": opened.name,
        "top1": accuracies,
        **({"verification": {far: asdict(result) for far, result in verified.items()}} if verified else {}),
        "dimensions": representation.train.shape[1],
        "note": f"{len(opened.train)} samples to fit, {len(opened.test)} to measure"
        + _counted_pairs(verified.values()),
        "doubts": [
            *_doubts_of_representation(representation, accuracies["linear"]),
            *(_too_few_pairs(result) for result in verified.values() if not result.resolved),
        ],
    }


def _doubts_of_representation(representation: Representation, linear: float) -> list[str]:
    """Return why a probe's accuracy may be misleading."""
    spread = float(representation.train.std(dim=0).norm() / representation.train.norm(dim=1).mean().clamp_min(1e-12))
    if spread < COLLAPSED:
        return ["the embeddings of all samples are nearly the same: the network has collapsed, or its input is wrong"]
    commonest = 100 * float(representation.test_targets.bincount().max()) / len(representation.test_targets)
    if linear <= commonest:
        return [f"the linear probe is not above what the commonest class alone reaches ({commonest:.2f} %)"]
    return []


def _counted_pairs(results: Iterable[Verification]) -> str:
    first = next(iter(results), None)
    return "" if first is None else f", {first.genuine} pairs of one class and {first.impostors} of two to verify"


def _too_few_pairs(result: Verification) -> str:
    return (
        f"{result.impostors} pairs of two identities cannot resolve a false accept rate of {result.far:g}: "
        "the rate is that at 0"
    )


def _config(data: str | DataConfig | DataSet, settings: Mapping[str, Any]) -> DataConfig | DataSet:
    """Return the configuration of named data, or the given data set."""
    expected = "the name of a data source, a DataConfig or a DataSet"
    require_kind("data", data, (str, DataConfig, DataSet), expected)
    if isinstance(data, str):
        data = DataConfig(**flatten(DataConfig, {"data": data} | dict(settings)))
    elif settings:
        raise UsageError(f"{next(iter(settings))} is a setting of named data: set it when you open the data set")
    if isinstance(data, DataConfig) and checked(data).no_labels:
        raise UsageError("a network is measured by labels: leave out --no-labels")
    return data


def _predictions(network: Network, split: Split, config: DataConfig | DataSet, device: str) -> Predictions:
    """Return a network's predictions on a split, on the device."""
    where = resolve_device(device)
    workers = config.workers if isinstance(config, DataConfig) else 0
    loader = Loader(split, batch_size=EVALUATION_BATCH, device=str(where), workers=workers)
    return predict_all(network.to(where), loader)


def _name(model: str | None, path: Path | None) -> str:
    """Return the name of a network's architecture: the given one, else that of its weights' card."""
    card = None if path is None else read_card(path)
    name = model or (card.architecture if card else None)
    if name is None and path is not None:
        raise UsageError(f"weights file {str(path)!r} does not say what network it is: give --model with it")
    if name is None:
        raise UsageError("nothing to evaluate: give --weights of a student, or --model with its --weights")
    if model is None and path is not None:
        refuse_own_code(path, name)
    if card is not None and path is not None:
        require_as_large(path, card, name)
    return name
