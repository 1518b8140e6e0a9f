"""A trained network: how good it is, what it says of single records, what its representation is worth."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import NoneType
from typing import Any

import torch
from torch import Tensor, nn

from wcord.api.conclude import predict_all
from wcord.bounds import checked
from wcord.checks import RunError, UsageError, require_bool, require_counts, require_file, require_kind, require_list
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
from wcord.models.network import Network
from wcord.models.trial import on_trial, try_network
from wcord.models.weights import is_own_code, open_network, read_card, refuse_own_code, require_as_large
from wcord.setup.as_trained import card_in, known_of, open_as_trained
from wcord.setup.job import EVALUATION_BATCH
from wcord.setup.networks import NetworkSpec, build_network, wrong_channels
from wcord.terminal import Reporter, tell
from wcord.training.config import flatten
from wcord.training.engine import resolve_device

COLLAPSED = 1e-3
"""Spread of embeddings, relative to their length, below which they tell samples apart by rounding at most."""


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
    """Return what `accuracy` measures of a network on the evaluation split: top-1, balanced accuracy and the like.

    What the weights' card tells holds unless it is said otherwise: what the network sees, and, where the data have no
    test split, which samples were held out. Classes are taken by name where both the data and the network name them.

    Args:
        model: name, or a module; may be left out where the weights carry a card.
        weights: its weights.
        data: source as in `--data`, its configuration, or a data set.
        mean: mean that the input is normalised with; default: what the file, timm or the training data say.
        std: standard deviation that the input is divided by.
        device: where to compute.
        classes_by_number: take the classes by their number, whatever their names.
        pretrained: take the library's default pretrained weights, where the name names none.
        ema: of the weights file, take the moving average beside the weights.
        embedding: path of the module whose input is the embedding; default: as the card says, else the classifier.
        say: takes the lines that tell what is found on the way, and why the numbers may not be what they seem: a
            network at chance, or one that knows the classes in another order.
        **settings: settings of the data, where it is named: label, image_size, …

    Raises:
        UsageError: for a mistake in what was given, or data with a class that is none of the network's.
    """
    require_kind("model", model, (str, nn.Module, NoneType), "the name of a network or a torch.nn.Module")
    for flag, value in (("classes_by_number", classes_by_number), ("pretrained", pretrained), ("ema", ema)):
        require_bool(flag, value)
    config = _config(data, settings)
    path = None if weights is None else require_file(weights, "weights file")
    name = type(model).__name__ if isinstance(model, nn.Module) else _name(model, path)
    spec = NetworkSpec("model", name, path, mean=mean, std=std, pretrained=pretrained, ema=ema, embedding=embedding)
    if isinstance(model, str) and path is None and not spec.by_name and not is_own_code(name):
        raise UsageError(f"{name} has random weights, which are not worth measuring: give --weights FILE")
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
    """Raise where a network names several labels a sample and the data have one class each, or the reverse."""
    card = None if weights is None else read_card(weights)
    if card is None or card.several_labels == data.several_labels:
        return
    kinds = {True: "several labels a sample", False: "one class a sample"}
    raise UsageError(
        f"the network in {str(weights)!r} was trained for {kinds[card.several_labels]}, and the data have "
        f"{kinds[data.several_labels]}: measure it on data like those of its training"
    )


def _doubts(predictions: Predictions, classes: tuple[str, ...], *, named: bool) -> list[str]:
    """Return why what is measured of a network may not be what it is worth.

    Args:
        predictions: what it says.
        classes: names of the classes.
        named: whether its classes were matched to the data's by their names, so that their order is not the cause.
    """
    if predictions.several_labels:
        return []
    order = other_order(predictions, classes)
    if order is not None and named:
        return [
            f"the network {order.text}, although they are matched by their names: its weights were saved with the "
            "names in another order, or its input is another than it was trained on"
        ]
    if order is not None:
        return [f"the network {order.text}: {order.remedy}"]
    return doubts(standing(predictions), "the network", classes, NETWORK_CAUSES)


def _say_numbers(own: Sequence[str], theirs: Sequence[str], say: Reporter) -> None:
    """Say that classes are compared by their number although both sides name them, and otherwise."""
    pairs = [f"{ours!r} as {their!r}" for ours, their in zip(own, theirs, strict=False) if ours != their]
    if pairs or (own and theirs and len(own) != len(theirs)):
        some = ", ".join(pairs[:3]) + (", …" if len(pairs) > 3 else "")
        say(
            f"note: the data's {len(own)} classes and the network's {len(theirs)} are compared by number"
            + (f": {some}; the accuracy means nothing where these are not the same things" if some else "")
        )


def _renumbered(targets: Tensor, number: Tensor, classes: int) -> Tensor:
    """Return the data's labels in the order of the network's classes, of which `number` gives one for each."""
    if not targets.is_floating_point():
        return number[targets]
    return targets.new_zeros(len(targets), classes).index_copy(1, number, targets)


@dataclass(frozen=True)
class Guess:
    """What a network says of one record: its most probable classes, best first.

    Where a record may have several labels, all labels of probability 0.5 or more, which may be none.

    Attributes:
        record: its file, and the row of a table.
        classes: names of the classes; none where the file could not be read.
        probabilities: theirs.
        error: why the file could not be read; empty where it was.
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

    Files that cannot be read are in the list, too, with the reason in `Guess.error`.

    Args:
        weights: a file that carries its card, such as a run's student.safetensors.
        paths: files, or folders, of which the files are read that hold what the network was trained on, but no hidden
            ones. Of a table each row is a record; what columns it needs, the student's file knows.
        model: its architecture, where that is code of your own.
        top: how many classes to name; of a network for several labels all that are more probable than not are named.
        device: where to compute.
        say: takes a line on what is skipped in folders.

    Raises:
        UsageError: a file is missing, or a folder holds nothing that the network was trained on; or files were named
            and none can be read.
        RunError: none of the files in folders can be read.
    """
    from wcord.data import records  # tables and sounds take a second to load
    from wcord.data.walk import Skipped

    require_counts(top=top)
    paths = [paths] if isinstance(paths, str | Path) else paths
    where = resolve_device(device)
    network, card = open_network(weights, model=model).to(where), card_in(Path(weights))
    assert card is not None  # open_network refuses a file without one
    height, width = card.image_size or (MIXED_SIZE, MIXED_SIZE)
    seen = (card.in_channels, height, width)
    shape = seen if width == 1 else card.record or seen  # a row of a table is one visit already
    sounds = card.extra.get("sounds")  # older files do not say it
    records.require_single_records(shape, card.columns)
    kind, passed = records.kind_of_records(shape, sounds=sounds), Skipped()
    files = records.find_files([Path(path) for path in paths], kind, passed)
    if say is not None:
        for note in passed.note(kind):
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
        count = f"none of the {len(guesses)} files can be read; the first: " if len(guesses) > 1 else ""
        raise (UsageError if named else RunError)(f"{count}{guesses[0].error}")
    return guesses


def _guess(network: Network, name: str, record: Tensor, top: int, *, several_labels: bool) -> Guess:
    with torch.inference_mode(), on_trial("network", record.shape):
        logits = network(record).float()[0].cpu()
    if not bool(logits.isfinite().all()):
        raise UsageError(
            f"the network makes NaN of {name!r}: its weights, or the mean and std of its input, are damaged"
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
    device: str = "auto",
    **settings: Any,
) -> dict[str, Any]:
    """Return what a frozen network's embedding is worth on a data set, as `wcord probe` does.

    Pictures are framed as those that the network was trained on, and have its channels. BatchNorm is frozen, nothing is
    augmented, and each image goes through the network once.

    Args:
        weights: a file that says what network it is, such as a run's student.safetensors.
        data: source as in `--data`, its configuration, or a data set.
        model: its architecture, where that is code of your own.
        neighbours: how many nearest neighbours vote; 0 leaves that out.
        shots: also fit on so many samples a class, ten times over.
        device: where to compute.
        **settings: settings of the data, where it is named: label, subset, …

    Returns:
        `top1`: probe → accuracy in percent, of few shots its mean and standard deviation; and what was probed on what:
        of a network that a run has made, its method and seed too. `doubts`: why the accuracy may not be what it seems.

    Raises:
        UsageError: for a mistake in what was given.
    """
    network, card = open_network(weights, model=model), read_card(weights)
    assert card is not None  # open_network refuses a file without one
    require_list("shots", shots)
    config = _config(data, settings)
    opened = open_as_trained(config, Path(weights)) if isinstance(config, DataConfig) else config
    refuse_several(opened.train.targets, "wcord probe")
    require_several_classes(opened.classes)
    if card.in_channels != opened.train.shape[0]:
        raise wrong_channels(f"the weights {str(weights)!r}", card.in_channels, opened.train.shape[0])
    try_network("network", network, opened.train.shape)
    halves = [_predictions(network, split, config, device) for split in (opened.train, opened.test)]
    seen = Representation(halves[0].embeddings, halves[0].targets, halves[1].embeddings, halves[1].targets)
    found: dict[str, Any] = {"linear": linear_probe(seen)}
    if neighbours:
        found[f"{neighbours} nearest neighbours"] = nearest_neighbours(seen, neighbours=neighbours)
    for count in shots:
        mean, std = few_shot(seen, count)
        found[f"linear, {count} a class"] = {"mean": mean, "std": std, "draws": DRAWS}
    made = {name: card.extra[name] for name in ("method", "seed") if name in card.extra}
    return {
        "weights": str(weights),
        "architecture": card.architecture,
        **made,
        "data": opened.name,
        "top1": found,
        "dimensions": seen.train.shape[1],
        "note": f"{len(opened.train)} samples to fit, {len(opened.test)} to measure",
        "doubts": _doubts_of_representation(seen, found["linear"]),
    }


def _doubts_of_representation(seen: Representation, linear: float) -> list[str]:
    """Return why a probe may not measure what it seems to."""
    spread = float(seen.train.std(dim=0).norm() / seen.train.norm(dim=1).mean().clamp_min(1e-12))
    if spread < COLLAPSED:
        return ["the embeddings of all samples are nearly the same: the network has collapsed, or sees another input"]
    commonest = 100 * float(seen.test_targets.bincount().max()) / len(seen.test_targets)
    if linear <= commonest:
        return [f"the linear probe is not above what the commonest class alone reaches ({commonest:.2f} %)"]
    return []


def _config(data: str | DataConfig | DataSet, settings: Mapping[str, Any]) -> DataConfig | DataSet:
    """Return the configuration of named data, or data as they were given."""
    known = "the name of a data source, a DataConfig or a DataSet"
    require_kind("data", data, (str, DataConfig, DataSet), known)
    if isinstance(data, str):
        data = DataConfig(**flatten(DataConfig, {"data": data} | dict(settings)))
    elif settings:
        raise UsageError(f"{next(iter(settings))} is a setting of data that are named: say it where they are made")
    if isinstance(data, DataConfig) and checked(data).no_labels:
        raise UsageError("a network is measured by labels: leave out --no-labels")
    return data


def _predictions(network: Network, split: Split, config: DataConfig | DataSet, device: str) -> Predictions:
    """Return what a network says of a split, both brought to the device."""
    where = resolve_device(device)
    workers = config.workers if isinstance(config, DataConfig) else 0
    loader = Loader(split, batch_size=EVALUATION_BATCH, device=str(where), workers=workers)
    return predict_all(network.to(where), loader)


def _name(model: str | None, path: Path | None) -> str:
    """Return the name of a network's architecture: what was said, else what its weights' card says."""
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
