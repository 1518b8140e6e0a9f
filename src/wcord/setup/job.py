"""Turns a configuration into everything that a run needs, checked before the first step."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from wcord.checks import UsageError
from wcord.data.class_weights import class_weights
from wcord.data.config import DataConfig, PairingConfig
from wcord.data.dataset import DataSet
from wcord.data.label_values import refuse_several
from wcord.data.loader import Loader
from wcord.data.mixing import Mixing
from wcord.data.opening import open_data
from wcord.methods.build import adapt_student, build_objective, shipped_name
from wcord.methods.objective import Objective
from wcord.methods.observe import observe, rehearse
from wcord.methods.options import parse_options
from wcord.models.network import Network
from wcord.models.trial import require_gradient
from wcord.models.weights import read_card
from wcord.scope import scopes
from wcord.setup.adapted import adapted_teacher
from wcord.setup.ahead import in_rotations, made_together, with_teacher_ahead
from wcord.setup.as_trained import data_settings, in_network_channels, note_of_frame, note_of_split
from wcord.setup.classes import fit_classes, label_by_teacher, labels_agree
from wcord.setup.networks import build_network
from wcord.setup.starts import Starts, student_spec, teacher_spec
from wcord.setup.teacher_check import check_teacher, look_at_several
from wcord.setup.trainable import require_normalizable, require_own_weights, require_trainable
from wcord.terminal import Reporter
from wcord.training.config import DistillConfig, TrainConfig, TrainingConfig, setting_values
from wcord.training.engine import resolve_device, seed_everything

EVALUATION_BATCH = 256


@dataclass(frozen=True)
class Provided:
    """Modules and data that a caller passes instead of naming them.

    Attributes:
        teacher: replaces the teacher's name.
        student: replaces the student's name.
        data: replaces the data source.
        opened: whether the data were already opened from this configuration.
    """

    teacher: nn.Module | None = None
    student: nn.Module | None = None
    data: DataSet | None = None
    opened: bool = False


@dataclass(frozen=True)
class Job:
    """Everything that a run needs.

    Attributes:
        config: the configuration of the run.
        data: the data set.
        student: the network to be trained.
        architecture: the student's name for `create_model`.
        teacher: the frozen network, with the parts that the method adds, or None.
        objective: the method.
        train: training batches.
        test: evaluation batches.
        same_labels: whether equally many logits of both networks stand for the same classes.
        class_weights: weights of the classes in the cross-entropy, or None if all are equal.
        notes: what a reader of the result must know.
    """

    config: TrainConfig | DistillConfig
    data: DataSet
    student: Network
    architecture: str
    teacher: Network | None
    objective: Objective
    train: Loader
    test: Loader
    same_labels: bool
    class_weights: Tensor | None
    notes: tuple[str, ...]


def prepare(
    config: TrainConfig | DistillConfig,
    provided: Provided,
    say: Reporter,
    *,
    rank: int = 0,
    processes: int = 1,
    fresh: bool = True,
) -> Job:
    """Open the data, build the networks and the method, and check that they fit each other.

    Args:
        config: the configuration of the run.
        provided: modules and data that replace names in the configuration.
        say: takes one line per note.
        rank: number of this process.
        processes: number of processes that train together.
        fresh: whether the student starts here; otherwise its weights come from a checkpoint.

    Raises:
        UsageError: a mistake that can be detected before the first step.
    """
    training = config.training
    device = resolve_device(training.device)
    notes: list[str] = []

    def note(lines: Iterable[str]) -> None:
        for line in lines:
            notes.append(line)
            say(f"note: {line}")

    data = opened_data(config, provided)
    note(data.notes)
    if data.teacher is not None:
        note([f"the student sees {data.seen}, the teacher {data.of_teacher.seen}"])
    seed_everything(training.seed)
    starts = Starts(note=lambda line: note([line]), say=say, fresh=fresh)
    teacher, data, fitted = _teacher(config, provided, data, str(device), starts)
    note(fitted)
    # The student's initial weights depend on the seed alone, not on earlier draws.
    seed_everything(training.seed)
    student, architecture = _student(config, provided, data, teacher, starts)
    mixing = _mixing(training, data)
    config = with_teacher_ahead(config, data, device)
    train = _training_batches(config, data, mixing, device, rank, processes)
    test = Loader(data.test, batch_size=EVALUATION_BATCH, device=str(device), workers=config.data.workers)
    smallest = _smallest_batch(len(data.train), training.batch_size) * train.copies // processes
    require_normalizable(student, _samples(data)[0], smallest)
    require_gradient("student", student, _samples(data)[0])
    same_labels = _same_labels(config, teacher, data)
    weights, weight_notes = _class_weights(config, data)
    note(weight_notes)
    original, teacher = teacher, adapted_teacher(config, teacher, student, _samples(data))
    objective = _objective(config, student, teacher, data, train, same_labels, weights)
    note([*objective.notes, *_notes_of_weights(config, data)])
    if train.dropped:
        note([f"each epoch leaves out the {train.dropped} sample(s) of a last batch that is too small"])
    if original is not None and isinstance(config, DistillConfig) and not config.data.no_labels:
        note(_look_at_teacher(config, provided, original, data, str(device), say))
    return Job(config, data, student, architecture, teacher, objective, train, test, same_labels, weights, tuple(notes))


def _training_batches(
    config: TrainConfig | DistillConfig,
    data: DataSet,
    mixing: Mixing | None,
    device: torch.device,
    rank: int,
    processes: int,
) -> Loader:
    train = Loader(
        data.train,
        batch_size=config.training.batch_size,
        seed=config.training.seed,
        augment=data.augment,
        shuffle=True,
        rank=rank,
        world_size=processes,
        device=str(device),
        workers=config.data.workers,
        views=config.data.views,
        rotations=in_rotations(config),
        partner=data.partner("train"),
        mixing=mixing,
        drop_single=True,
        together=made_together(config, data, device),
    )
    if len(train) == 0:
        raise UsageError(f"the training data holds {len(data.train)} samples, too few for one step: use more")
    return train


def opened_data(config: TrainConfig | DistillConfig, provided: Provided) -> DataSet:
    """Return the data that a caller passes, or open those that the configuration names."""
    if provided.data is not None and not provided.opened:
        _refuse_ignored(config)
        return provided.data
    return in_network_channels(config, open_data(*data_settings(config)) if provided.data is None else provided.data)


def _student(
    config: TrainConfig | DistillConfig, provided: Provided, data: DataSet, teacher: Network | None, starts: Starts
) -> tuple[Network, str]:
    """Return the network to be trained, and its name for `create_model`."""
    spec = replace(student_spec(config), loads=starts.fresh)
    student = build_network(spec, data, module=provided.student, say=starts.note)
    require_trainable(student)
    require_own_weights(student, teacher)
    if provided.student is None:
        starts.of_student(spec, finetune=config.training.finetune)
    student.classes = data.classes  # replaces those of its weights
    if isinstance(config, TrainConfig):
        return student, spec.full_name
    if teacher is None:
        return student, spec.full_name
    adapted = adapt_student(config.method, student, teacher, *_samples(data))
    assert isinstance(adapted, Network)
    return adapted, shipped_name(config.method, spec.full_name, teacher_spec(config).full_name)


def _refuse_ignored(config: TrainConfig | DistillConfig) -> None:
    """Raise if a setting that serves only to open a data source comes with an opened data set."""
    paired = {"teacher_data": {}, "pairing": PairingConfig()} if isinstance(config, DistillConfig) else {}
    values, defaults = setting_values(config), setting_values(replace(config, data=DataConfig(), **paired))
    ignored = [
        name
        for name, affects in scopes(type(config)).items()
        if "opened data" not in affects.facts and values[name] != defaults[name]
    ]
    if ignored:
        raise UsageError(
            f"{ignored[0]} applies only when data are opened by name: set it there and pass what open_data returns; "
            "to change views, the teacher's data or augmentation of opened data, use data.through(view), "
            "data.beside(teacher_data) or dataclasses.replace(data, augment=…)"
        )


def _teacher(
    config: TrainConfig | DistillConfig, provided: Provided, data: DataSet, device: str, starts: Starts
) -> tuple[Network | None, DataSet, tuple[str, ...]]:
    """Return the teacher, the data with classes on which both networks can be measured, and notes."""
    if isinstance(config, TrainConfig):
        if config.data.no_labels:
            raise UsageError("a network is trained on labels alone: leave out --no-labels, or distill a teacher")
        return None, data, ()
    spec = teacher_spec(config)
    teacher_data = data.of_teacher
    if data.teacher is not None and data.teacher.source_classes:  # the class order of a teacher without class names
        teacher_data = replace(teacher_data, classes=data.teacher.source_classes)
    teacher = build_network(spec, teacher_data, module=provided.teacher, say=starts.note)
    if provided.teacher is None:
        starts.of_teacher(spec)
    if config.data.no_labels and config.pairing.label_map is not None:
        raise UsageError("--label-map maps the teacher's classes to labels, and --no-labels reads none")
    if not config.data.no_labels:
        return fit_classes(teacher, data, config)
    refuse_several(data.train.targets, "--no-labels")
    data, note = label_by_teacher(teacher, data, batch_size=EVALUATION_BATCH, device=device)
    return teacher, data, (note,)


def _objective(
    config: TrainConfig | DistillConfig,
    student: Network,
    teacher: Network | None,
    data: DataSet,
    train: Loader,
    same_labels: bool,
    weights: Tensor | None,
) -> Objective:
    sample, teacher_sample = _samples(data)
    maps = (config.student_maps, config.teacher_maps) if isinstance(config, DistillConfig) else ((), ())
    setting = observe(
        student,
        student if teacher is None else teacher,
        student_sample=sample,
        teacher_sample=sample if teacher is None else teacher_sample,
        num_samples=len(data.train) if train.mixing is None else None,
        mixed=train.mixing is not None,
        several_labels=data.several_labels,
        batch_size=min(_smallest_batch(len(data.train), config.training.batch_size), config.training.batch_size),
        same_labels=same_labels,
        label_smoothing=config.training.label_smoothing,
        class_weights=weights,
        total_steps=config.training.epochs * len(train),
        student_maps=maps[0] or None,
        teacher_maps=maps[1] or None,
    )
    if setting.student_classes != len(data.classes):
        raise UsageError(
            f"the student has {setting.student_classes} logits, but the data {len(data.classes)} classes: "
            "use weights or a network with that number of classes"
        )
    if isinstance(config, TrainConfig):
        return build_objective("ce", setting)
    labels = not config.data.no_labels
    objective = build_objective(config.method, setting, options=parse_options(config.set), labels=labels)
    if config.training.class_weights is not None and not objective.weights.get("ce"):
        raise UsageError(
            f"--class-weights weights the cross-entropy, which this run does not have ({objective.formula}): leave "
            "it out"
        )
    assert teacher is not None
    mixed = train.mixing is not None
    shares = mixed or data.several_labels
    rehearse(objective, student, teacher, sample, teacher_sample, shares=shares, rows=not mixed)
    return objective


def _mixing(training: TrainingConfig, data: DataSet) -> Mixing | None:
    """Return how batches are mixed, or None."""
    if not training.mixup and not training.cutmix:
        return None
    if training.cutmix and not (data.pictures and data.of_teacher.pictures):
        raise UsageError(f"--cutmix pastes parts of pictures, but a sample here is {data.seen}: use --mixup")
    return Mixing(len(data.classes), training.mixup, training.cutmix, training.mixup_prob)


def _class_weights(config: TrainConfig | DistillConfig, data: DataSet) -> tuple[Tensor | None, list[str]]:
    """Return the weights of the classes in the cross-entropy, or None, and a note on them."""
    choice = config.training.class_weights
    if choice is None or config.data.no_labels:
        return None, []
    refuse_several(data.train.targets, "--class-weights")
    weights, note = class_weights(choice, data.train.targets, data.classes)
    return weights, [note]


def _smallest_batch(samples: int, batch_size: int) -> int:
    """Return the size of the smallest training batch; a last batch of a single sample is dropped."""
    rest = samples % batch_size
    return rest if rest > 1 else batch_size


def _look_at_teacher(
    config: DistillConfig, provided: Provided, teacher: Network, data: DataSet, device: str, say: Reporter
) -> Sequence[str]:
    data = data.of_teacher
    with torch.no_grad():
        logits: Tensor = teacher.to(device).eval()(torch.zeros(1, *data.train.shape, device=device))
    if not logits.shape[1]:
        return ["the teacher has no classifier: its accuracy is not measured"]
    if logits.shape[1] != len(data.classes):
        return [
            f"the teacher has {logits.shape[1]} classes and the data {len(data.classes)}: its accuracy is not measured"
        ]
    which = "evaluation"
    if not len(data.test):
        data, which = replace(data, test=data.train), "training"
    if data.several_labels:
        measured, samples = look_at_several(teacher, data, batch_size=EVALUATION_BATCH, device=device)
        say(f"teacher {config.teacher}: mAP {measured:.2f} % on {samples} samples of the {which} data")
        return ()
    card = None if config.teacher_weights is None else read_card(config.teacher_weights)
    names = (
        provided.teacher.classes if isinstance(provided.teacher, Network) else card.classes if card is not None else ()
    )
    stated = bool(names) or (provided.teacher is None and teacher_spec(config).by_name)  # libraries state class names
    named = stated and teacher.classes == data.classes  # other names do not tell the order
    look = check_teacher(
        teacher,
        data,
        batch_size=EVALUATION_BATCH,
        device=device,
        allow_weak=config.allow_weak_teacher,
        named=named,
        extra=None if card is None else card.extra,
    )
    result = look.standing
    balance = f" (balanced accuracy {100 * result.balanced:.2f} %)" if result.unbalanced else ""
    say(f"teacher {config.teacher}: {100 * result.top1:.2f} % on {result.samples} samples of the {which} data{balance}")
    return look.notes


def _notes_of_weights(config: TrainConfig | DistillConfig, data: DataSet) -> list[str]:
    if isinstance(config, TrainConfig):
        return note_of_split("network being fine-tuned", config.weights, data)
    return [
        *note_of_split("student", config.student_weights, data),
        *note_of_split("teacher", config.teacher_weights, data.of_teacher),
        *note_of_frame(config, data),
    ]


def _same_labels(config: TrainConfig | DistillConfig, teacher: Network | None, data: DataSet) -> bool:
    """Return whether the teacher's logits stand for the student's classes, as far as names and samples show.

    Numbers are not names. Logits of independent labels differ from those of exclusive classes.
    """
    if isinstance(config, DistillConfig):
        card = None if config.teacher_weights is None else read_card(config.teacher_weights)
        several = data.several_labels if card is None else card.several_labels
        if several != data.several_labels or not labels_agree(data, config):
            return False
    names, teacher_names = data.classes, teacher.classes if teacher is not None else ()
    if not teacher_names or len(teacher_names) != len(names) or teacher_names == names:
        return True
    return any(all(name.isdecimal() for name in each) for each in (teacher_names, names))


def _samples(data: DataSet) -> tuple[Tensor, Tensor]:
    """Return a batch of two inputs of the student, and of the teacher."""
    return torch.zeros(2, *data.train.shape), torch.zeros(2, *data.of_teacher.train.shape)
