"""Settings of a run, with the only source of their defaults, and their reading from recipes. Imports no torch."""

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, TypeVar

import tomli_w

from wcord import checks
from wcord.bounds import (
    Ascending,
    Bounds,
    Deviation,
    Device,
    File,
    Mean,
    Minutes,
    Name,
    OnlyWith,
    SameLength,
    Seed,
    Side,
    Text,
    checked,
    convert,
)
from wcord.checks import UsageError
from wcord.data.config import DataConfig, PairingConfig, TeacherData
from wcord.scope import Affects, declared_settings, members, of_teacher, overlays, scopes, tables
from wcord.toml import read_toml

SMALL_RATE_STUDENTS = ("MobileNetV2", "ShuffleV1", "ShuffleV2")
"""The CRD benchmark trains these with a fifth of the learning rate."""

Capture = Literal["auto", "on", "off"]

MOMENTUM = 0.9
MILESTONES = (0.625, 0.75, 0.875)


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """How the student is trained; the defaults are the CRD benchmark's."""

    finetune: Annotated[bool, Affects("result")] = False
    """For pretrained weights: adamw, 20 epochs, cosine with one epoch of warm-up, weight decay 0.05, and a tenth of the
    learning rate for all but the head, unless set otherwise."""
    epochs: Annotated[int, Bounds(1, 10**6), Affects("result")] = 240
    """Passes over the training data."""
    batch_size: Annotated[int, Bounds(1, 10**6), Affects("result", "teacher outputs")] = 64
    """Samples in a batch, over all processes."""
    gradient_accumulation_steps: Annotated[int, Bounds(1, 10**6), Affects("result")] = 1
    """Batches whose gradients are summed for one step of the optimizer, which then covers this many × batch-size
    samples; steps and checkpoints count optimizer steps."""
    optimizer: Annotated[Literal["sgd", "adamw"], Affects("result")] = "sgd"
    """Update rule of the student and of the method's heads."""
    lr: Annotated[float, Bounds(above=0), Affects("result")] | None = None
    """Learning rate; default 0.05, or 0.01 for MobileNetV2, ShuffleV1 and ShuffleV2, or 0.001 with adamw."""
    body_rate: Annotated[float, Bounds(above=0), Affects("result")] = 1.0
    """Factor of the learning rate for the student except its head (and the modules of the method)."""
    momentum: Annotated[float, Bounds(0, below=1), OnlyWith("optimizer", "sgd", MOMENTUM), Affects("result")] = MOMENTUM
    """Momentum of sgd."""
    weight_decay: Annotated[float, Bounds(0), Affects("result")] = 5e-4
    """Weight decay on all trainable parameters."""
    schedule: Annotated[Literal["step", "cosine", "constant"], Affects("result")] = "step"
    """step: ten times smaller at each milestone; cosine: to 0 over the run."""
    milestones: Annotated[
        tuple[Annotated[float, Bounds(above=0, high=1)], ...],
        Ascending(),
        OnlyWith("schedule", "step", MILESTONES),
        Affects("result"),
    ] = MILESTONES
    """Fractions of the run at which the step schedule decays (150, 180, 210 of 240 epochs)."""
    warmup_epochs: Annotated[float, Bounds(0, "epochs"), Affects("result")] = 0.0
    """Epochs of linear warm-up from 0."""
    preparation_epochs: Annotated[int, Bounds(0, 10**6), Affects("result")] | None = None
    """Epochs of the stage that some methods have before the main one; default: the method's number (30)."""
    label_smoothing: Annotated[float, Bounds(0, below=1), Affects("result")] = 0.0
    """Smoothing of the labels in the cross-entropy."""
    class_weights: Annotated[str, Text(), Affects("result", "file")] | None = None
    """Weights of the classes in the cross-entropy: balanced (a class of n of N samples in C classes weighs N / (C n)),
    auto (balanced if the commonest class has at least 3 times the samples of the rarest), or a csv file of lines
    class,weight."""
    mixup: Annotated[float, Bounds(0), Affects("result")] = 0.0
    """Mixup: mix each sample with another of its batch, with a share drawn from Beta(mixup, mixup); usual: 0.2 to 0.8;
    0: none. Both networks see the same mixtures."""
    cutmix: Annotated[float, Bounds(0), Affects("result")] = 0.0
    """CutMix: paste a rectangle of another picture of the batch, its area drawn from Beta(cutmix, cutmix); usual: 1;
    0: none. With mixup too, each batch gets one of the two."""
    mixup_prob: Annotated[float, Bounds(0, 1), Affects("result")] = 1.0
    """Share of the batches that are mixed, with mixup or cutmix."""
    clip_norm: Annotated[float, Bounds(above=0), Affects("result")] | None = None
    """Clip the norm of all gradients together to this value at each step; default: no clipping."""
    ema: Annotated[float, Bounds(above=0, below=1), Affects("result")] | None = None
    """Decay of a moving average of the student's weights (such as 0.999), smaller in the first steps: min(decay,
    (1 + n) / (10 + n)) after n steps; the average is then evaluated and saved."""
    norm_statistics: Annotated[Literal["auto", "always", "never"], Affects("result")] = "auto"
    """Measure the running mean and variance of normalization layers on training batches, for each evaluation and for
    the saved student. auto: if the run is too short for them to settle, and with --ema."""
    precision: Annotated[Literal["fp32", "bf16", "fp16"], Affects("result", "teacher outputs")] = "fp32"
    """Arithmetic of the networks; losses are always computed in single precision. fp16 needs a CUDA GPU and scales
    the loss; steps whose gradients overflow are skipped and counted."""
    compile: Annotated[bool, Affects("result")] = False
    """Compile the student with torch.compile: slow first steps, then faster ones; turns --capture off."""
    channels_last: Annotated[bool, Affects("result", "teacher outputs")] = False
    """Keep images and convolution weights in channels-last layout."""
    capture: Annotated[Capture, Affects("machine")] = "auto"
    """Replay the training step as one CUDA graph. auto: on a GPU in one process, if the method allows it; on: fail
    if it is impossible."""
    teacher_ahead: Annotated[int, Bounds(1, 10**6), Affects("machine", "fixed")] | None = None
    """Batches that the teacher sees in one pass; default: 16 on a GPU, fewer where they are large, and 1 elsewhere. It
    changes the last bits of its outputs."""
    seed: Annotated[Seed, Affects("result", "teacher outputs")] = 0
    """Seed of everything random; it is recorded."""
    device: Annotated[Device, Affects("machine")] = "auto"
    """Where to compute: auto | cpu | cuda | cuda:1 | mps"""
    eval_every: Annotated[int, Bounds(1, 10**6), Affects("result")] = 1
    """Epochs between evaluations; the last epoch is always evaluated."""
    checkpoint_every: Annotated[int, Bounds(0, 10**9), Affects("machine", "fixed")] = 0
    """Steps between checkpoints; 0: at the end of each epoch."""
    max_time: Annotated[Minutes, Affects("call")] | None = None
    """Minutes after which the run saves its state and stops, to be resumed later."""
    teacher_cache: Annotated[File, Affects("place", "output")] | None = None
    """Folder that keeps the teacher's logits and embeddings, for other runs over the same batches (same teacher, data,
    seed and batch size; any method that reads no maps of the teacher)."""
    tracker: Annotated[tuple[Literal["tensorboard", "wandb", "mlflow"], ...], Affects("machine", "fixed")] = ()
    """Experiment trackers to log to, in addition to the run's folder."""


FINETUNE: Mapping[str, object] = MappingProxyType(
    {
        "optimizer": "adamw",
        "epochs": 20,
        "schedule": "cosine",
        "warmup_epochs": 1.0,
        "weight_decay": 0.05,
        "body_rate": 0.1,
    }
)
"""Settings of `finetune`, unless a recipe or a flag sets them."""


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Train a network on labels alone, for instance a teacher."""

    model: Annotated[Name, Affects("result", "code")]
    """Network: a name of `wcord list`, timm:NAME, torchvision:NAME, hf:NAME or package.module:factory; timm:NAME.TAG,
    timm:hf-hub:USER/NAME, torchvision:NAME@WEIGHTS and hf:NAME start from pretrained weights."""
    weights: Annotated[File, Affects("result", "file")] | None = None
    """Start from these weights instead of random ones; if they are for other classes, the head is new."""
    pretrained: Annotated[bool, Affects("result")] = False
    """Start from the library's default pretrained weights (timm:NAME, torchvision:NAME)."""
    ema_weights: Annotated[bool, Affects("result")] = False
    """Use the moving average that the weights file holds beside the weights."""
    embedding: Annotated[Name, Affects("result")] | None = None
    """Module whose input is the embedding, by its path; default: the network's classifier."""
    out: Annotated[File, Affects("place", "output")]
    """Folder of the run; it must not exist yet."""
    overwrite: Annotated[bool, Affects("call", "unsaved")] = False
    """Replace the run that --out holds; refused if the folder holds anything else, or a file that the new run needs."""
    data: DataConfig = field(default_factory=DataConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)


@dataclass(frozen=True, kw_only=True)
class DistillConfig:
    """Distill a trained teacher into a student."""

    teacher: Annotated[Name, Affects("result", "code")]
    """Teacher network, named as --model of `wcord train`."""
    teacher_weights: Annotated[File, Affects("place", "file")] | None = None
    """The teacher's trained weights (.pth, .safetensors)."""
    teacher_pretrained: Annotated[bool, Affects("result")] = False
    """Take the library's default pretrained weights for the teacher (timm:NAME, torchvision:NAME)."""
    teacher_ema_weights: Annotated[bool, Affects("result")] = False
    """Use the moving average that the teacher's weights file holds beside the weights."""
    teacher_classes: Annotated[int, Bounds(0, 10**6), Affects("result")] | None = None
    """Number of the teacher's classes, where it is not that of the data; 0: it has no head, or is used without it, by
    methods on features."""
    teacher_embedding: Annotated[Name, Affects("result")] | None = None
    """Module of the teacher whose input is the embedding, by its path; default: its classifier."""
    teacher_mean: Annotated[Mean, Affects("result")] | None = None
    """Mean that the teacher's input is normalized with, per channel in [0, 1]; default: what its file or timm states,
    else that of the training data."""
    teacher_std: Annotated[Deviation, SameLength("teacher_mean"), Affects("result")] | None = None
    """Standard deviation that the teacher's input is divided by."""
    teacher_size: Annotated[Side, Affects("result")] | None = None
    """Resize the teacher's input to this many pixels a side."""
    student: Annotated[Name, Affects("result", "code")]
    """Student network, named like the teacher."""
    student_weights: Annotated[File, Affects("result", "file")] | None = None
    """Start the student from these weights; if they are for other classes, the head is new."""
    student_pretrained: Annotated[bool, Affects("result")] = False
    """Start the student from the library's default pretrained weights (timm:NAME, torchvision:NAME)."""
    student_ema_weights: Annotated[bool, Affects("result")] = False
    """Use the moving average that the student's weights file holds beside the weights."""
    student_embedding: Annotated[Name, Affects("result")] | None = None
    """Module of the student whose input is the embedding, by its path; default: its classifier."""
    student_size: Annotated[Side, Affects("result")] | None = None
    """Resize the student's input to this many pixels a side."""
    student_maps: Annotated[tuple[Name, ...], Affects("result")] = ()
    """Modules whose outputs are the student's feature maps, from stem to last; default: those that it states."""
    teacher_maps: Annotated[tuple[Name, ...], Affects("result")] = ()
    """Modules whose outputs are the teacher's feature maps, likewise."""
    method: Annotated[Name, Affects("result")] = "wcord+kd"
    """Method, or a sum of methods: see `wcord list`."""
    set: Annotated[tuple[Name, ...], Affects("result")] = ()
    """Options of a method's terms: wcord.epsilon=0.1 kd.temperature=2"""
    allow_weak_teacher: Annotated[bool, Affects("call", "fixed")] = False
    """Continue although the teacher is near chance on this data."""
    out: Annotated[File, Affects("place", "output")]
    """Folder of the run; it must not exist yet."""
    overwrite: Annotated[bool, Affects("call", "unsaved")] = False
    """Replace the run that --out holds; refused if the folder holds anything else, or a file that the new run needs."""
    data: DataConfig = field(default_factory=DataConfig)
    teacher_data: TeacherData = field(default_factory=dict)
    """What the teacher sees, where that is not what the student sees. An option that is not set is as in the teacher's
    weights file, else --teacher-view is all of a sample, and the others are as the student's. Some go with
    --teacher-data alone: --teacher-image-size, --teacher-crop-fraction, --teacher-visits-of ("": each row is a sample)
    and --teacher-order-by."""
    pairing: PairingConfig = field(default_factory=PairingConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)


BESIDE_A_TEACHER = {f"student_{name}": name for name in of_teacher(DataConfig)}
"""Names of settings of the data that say whose they are, where there are two networks → their names."""

NOT_SET = {name: () if value == () else None for name, value in vars(DataConfig()).items()}
"""Values that stand for settings which an overlay leaves as they are."""

Config = TypeVar("Config", bound=TrainConfig | DistillConfig)

UNSAVED = [name for name, affects in scopes(TrainConfig, DistillConfig).items() if "unsaved" in affects.facts]
"""Settings that a saved configuration leaves out: a recipe from a run must not replace another run."""


def learning_rate(training: TrainingConfig, student: str) -> float:
    """Return the configured learning rate, or the default."""
    if training.lr is not None:
        return training.lr
    if training.optimizer == "adamw":
        return 1e-3
    return 0.01 if student in SMALL_RATE_STUDENTS else 0.05


def trained_name(config: TrainConfig | DistillConfig) -> str:
    """Return the name of the network that a run trains."""
    return config.model if isinstance(config, TrainConfig) else config.student


def teacher_weights(config: TrainConfig | DistillConfig) -> Path | None:
    """Return the file of the teacher's weights, or None."""
    return config.teacher_weights if isinstance(config, DistillConfig) else None


def configure(kind: type[Config], settings: Mapping[str, object]) -> Config:
    """Return a configuration from settings by name, flat (`epochs`) or in tables (`[training] epochs`).

    Args:
        kind: TrainConfig or DistillConfig.
        settings: name → value, or table name → such a mapping.

    Raises:
        UsageError: an unknown name (the message suggests the nearest), a missing setting, or a value of a wrong type or
            out of bounds.
    """
    flat = flatten(kind, settings)
    if flat.get("finetune"):
        flat = {**FINETUNE, **flat}
    required = [f.name for f in dataclasses.fields(kind) if f.default is f.default_factory is dataclasses.MISSING]
    absent = [name for name in required if name not in flat]
    if absent:
        raise UsageError(f"missing setting {absent[0]!r}: give --{absent[0].replace('_', '-')}")
    return checked(kind(**_nested(kind, flat)))


def _nested(kind: type, settings: Mapping[str, object]) -> dict[str, Any]:
    """Return settings by flat name as the fields of a configuration; an overlay has only those that are set."""
    flat, groups, nested = dict(settings), tables(kind), dict[str, Any]()
    for table, names in members(kind).items():
        values = {field: flat.pop(name) for name, field in names.items() if name in flat}
        set_values = {name: value for name, value in values.items() if value not in (None, ())}
        nested[table] = groups[table](**values) if table in groups else set_values
    return flat | nested


def flatten(kind: type, settings: Mapping[str, object]) -> dict[str, Any]:
    """Return name → converted value of settings, flat or in tables; `data` may be the table or the source in it.

    Args:
        kind: the dataclass of the settings.
        settings: settings as in a recipe.

    Raises:
        UsageError: an unknown name (the message suggests the nearest), or a value of a wrong type or out of bounds.
    """
    known, places = members(kind), declared_settings(kind)
    # Earlier versions had the settings of overlays in [pairing].
    legacy = {name: name for table in overlays(kind) for name in known[table]}
    flat: dict[str, Any] = {}
    for name, value in _by_network(settings) if kind is DistillConfig else settings.items():
        if name in known and isinstance(value, Mapping):
            names = {of: flat_name for flat_name, of in known[name].items()} | legacy
            unknown = next((key for key in value if key not in names), None)
            if unknown is not None:
                raise checks.unknown(f"setting in [{name.replace('_', '.')}]", unknown, known[name].values())
            settings_here = {names[key]: item for key, item in value.items()}
        elif name in places:
            settings_here = {name: value}
        else:
            if name in known:
                raise UsageError(f"[{name}] must be a table of settings, received {checks.shown(value)}")
            raise checks.unknown("setting", name, places)
        if twice := next((one for one in settings_here if one in flat), None):
            raise UsageError(f"{twice} is set twice, by itself and in a table or under another name: give it once")
        flat |= {one: convert(one, item, places[one]) for one, item in settings_here.items()}
    return flat


def _by_network(settings: Mapping[str, object]) -> Iterator[tuple[str, Any]]:
    """Yield settings by their names, of tables [teacher] and [student] too: `data` in [teacher] is `teacher_data`."""
    for name, value in settings.items():
        if isinstance(value, Mapping) and name in ("data", "student"):
            value = {BESIDE_A_TEACHER.get(key, key): item for key, item in value.items()}
        if name in ("teacher", "student") and isinstance(value, Mapping):
            names = {key: name if key == "model" else f"{name}_{key}" for key in value}
            yield from _by_network({names[key]: item for key, item in value.items()})
        else:
            yield BESIDE_A_TEACHER.get(name, name), value


def setting_names(kind: type) -> list[str]:
    """Return the names of all settings of a configuration, those in its tables included."""
    return [*declared_settings(kind), *(BESIDE_A_TEACHER if kind is DistillConfig else ())]


def read_recipe(path: Path) -> dict[str, object]:
    """Return the settings of a TOML recipe.

    Raises:
        UsageError: the file is missing or is not TOML.
    """
    return read_toml(path, "recipe")


def read_config(path: Path) -> TrainConfig | DistillConfig:
    """Return the saved configuration of a run.

    Raises:
        UsageError: the file is missing or damaged.
    """
    settings = read_toml(path, "settings")
    settings = {name: value for name, value in settings.items() if name not in UNSAVED}
    try:
        return configure(TrainConfig, settings) if "model" in settings else configure(DistillConfig, settings)
    except UsageError as error:
        raise UsageError(f"the settings {str(path)!r} are not those of a run: {error}") from None


def setting_values(config: TrainConfig | DistillConfig) -> dict[str, object]:
    """Return name → value of all settings, those in tables included."""
    names = members(type(config))
    flat = {name: value for name, value in vars(config).items() if name not in names}
    for table, fields in names.items():
        settings = getattr(config, table)
        values = NOT_SET | settings if table in overlays(type(config)) else vars(settings)
        flat |= {name: values[of] for name, of in fields.items()}
    return flat


def changed(config: Config, changes: Mapping[str, object]) -> Config:
    """Return a configuration with some settings changed, by their flat names."""
    values = setting_values(config)
    values |= {name: value for name, value in changes.items() if name in values}
    return dataclasses.replace(config, **_nested(type(config), values))


def to_settings(config: TrainConfig | DistillConfig) -> dict[str, Any]:
    """Return a configuration as plain values in tables, for TOML and JSON: no None, no unsaved settings."""
    settings = plain(dataclasses.asdict(config))
    return {name: value for name, value in settings.items() if name not in UNSAVED and value != {}}


def to_toml(config: TrainConfig | DistillConfig) -> str:
    """Return the configuration as a recipe that gives the same configuration back."""
    return tomli_w.dumps(to_settings(config))


def plain(value: Any) -> Any:
    """Return a value for TOML and JSON, without None in tables."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items() if item is not None}
    if isinstance(value, tuple):
        return list(value)
    return str(value) if isinstance(value, Path) else value
