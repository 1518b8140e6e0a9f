"""The student as a file that other programs run: ONNX or torch.export, checked against PyTorch before it counts."""

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from wcord.checks import RunError, UsageError
from wcord.data.loader import Loader
from wcord.data.sources import open_data
from wcord.files import write_atomically
from wcord.models.card import SEVERAL_LABELS, ModelCard
from wcord.models.network import Network
from wcord.models.weights import open_network, read_card
from wcord.training.as_trained import as_trained
from wcord.training.config import read_config
from wcord.training.run import CONFIG, STUDENT, RunFolder

TOLERANCE = 1e-4
"""Largest difference of a logit, relative to the largest logit, that counts as the same."""
BATCHES = (8, 3)
"""Sizes of the real batches that are compared; two, so that the free batch axis is tried."""

Format = Literal["onnx", "torch"]
SUFFIX: dict[Format, str] = {"onnx": ".onnx", "torch": ".pt2"}


@dataclass(frozen=True)
class Exported:
    """A file that was written and checked.

    Attributes:
        path: the file.
        samples: images on which it was compared with PyTorch.
        data: where they came from.
        difference: largest absolute difference of a logit.
    """

    path: Path
    samples: int
    data: str
    difference: float


def export(
    run: Path, format: Format, *, out: Path | None = None, data: str | None = None, model: str | None = None
) -> Exported:
    """Write a run's student in a format that other programs run, with a card that describes it.

    The input is a batch of images in [0, 1], B×C×H×W with free B; normalisation is inside. The file counts only after
    it has given PyTorch's logits, within 1e-4 of the largest, on real images; else nothing is left behind.

    Args:
        run: folder of a finished run.
        format: "onnx" or "torch" (torch.export).
        out: file to write; default: beside the student.
        data: source of the images for the check; default: the run's own.
        model: the student's architecture, where that is code of your own.

    Raises:
        UsageError: where the run is not finished, or a needed library is missing.
        RunError: where the exported program differs from PyTorch.
    """
    folder = RunFolder(run)
    if not (run / STUDENT).is_file():
        raise UsageError(f"{str(run)!r} holds no {STUDENT}: finish it with wcord distill --resume {run}")
    network, card = open_network(run / STUDENT, model=model), read_card(run / STUDENT)
    assert card is not None, "open_network refuses a file without a card"
    source, batches = _real_batches(folder, data)
    target = out or run / f"student{SUFFIX[format]}"
    write = {"onnx": _write_onnx, "torch": _write_torch}[format]
    with tempfile.TemporaryDirectory() as scratch:
        draft = Path(scratch) / f"student{SUFFIX[format]}"
        runner = write(network, batches[0], draft)
        difference = max(_compare(network, runner, images) for images in batches)
        content = draft.read_bytes()
    target.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(target, content)
    write_atomically(target.with_suffix(".md"), describe_export(target.name, card, network).encode())
    return Exported(target, sum(len(images) for images in batches), source, difference)


def describe_export(name: str, card: ModelCard, network: Network) -> str:
    """Return a Markdown description of an exported student: what it takes, gives, reaches and where it comes from."""
    made = card.extra
    teacher = f", distilled from {made['teacher']} by {made['method']}" if made.get("teacher") else ""
    height, width = card.image_size or ("H", "W")
    return "\n".join(
        [
            f"# {name}",
            "",
            f"{card.architecture}{teacher} on {made.get('data')}, seed {made.get('seed')}.",
            "",
            "| | |",
            "|---|---|",
            f"| input `images` | float32, B×{card.in_channels}×{height}×{width}, in [0, 1]; normalisation is inside |",
            f"| output `logits` | float32, B×{card.num_classes} |",
            _accuracy_line(made),
            f"| parameters | {sum(p.numel() for p in network.parameters()):,} |",
            "",
            f"Classes: {', '.join(card.classes)}",
            "",
        ]
    )


def _accuracy_line(made: Mapping[str, Any]) -> str:
    if made.get(SEVERAL_LABELS):
        reached = f"{made['map_last']:.2f} % on the evaluation split"
        return f"| mAP, last epoch (several labels: take the sigmoid of each logit) | {reached} |"
    return f"| top-1, last epoch | {made.get('top1_last', float('nan')):.2f} % on the evaluation split |"


def _real_batches(run: RunFolder, source: str | None) -> tuple[str, list[Tensor]]:
    config = as_trained(read_config(run.path / CONFIG).data, run.path / STUDENT)
    opened = open_data(config if source is None else replace(config, data=source))
    if len(opened.test) < sum(BATCHES):
        raise UsageError(
            f"{opened.name} holds {len(opened.test)} evaluation images, but the check needs {sum(BATCHES)}"
        )
    images = next(Loader(opened.test, batch_size=sum(BATCHES)).batches()).student_input
    return opened.name, list(images.split(list(BATCHES)))


def _compare(network: Network, runner: Callable[[Tensor], Tensor], images: Tensor) -> float:
    with torch.no_grad():
        expected = network(images)
        difference = float((runner(images) - expected).abs().max())
    if not difference <= TOLERANCE * max(1.0, float(expected.abs().max())):
        raise RunError(f"the exported program differs from PyTorch by {difference:.2e} in a logit: nothing was written")
    return difference


def _write_torch(network: Network, images: Tensor, path: Path) -> Callable[[Tensor], Tensor]:
    torch.export.save(_program(network, images), path)
    return torch.export.load(path).module()


def _write_onnx(network: Network, images: Tensor, path: Path) -> Callable[[Tensor], Tensor]:
    try:
        import onnxruntime
    except ImportError:
        raise UsageError("ONNX export needs onnx, onnxscript and onnxruntime: pip install 'wcord[onnx]'") from None
    program = torch.onnx.export(_program(network, images), dynamo=True, external_data=False, verbose=False)
    assert program is not None
    program.save(path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda batch: torch.from_numpy(session.run(None, {name: batch.numpy()})[0])


def _program(network: Network, images: Tensor) -> torch.export.ExportedProgram:
    batch = torch.export.Dim("batch", min=1)
    return torch.export.export(network, (images,), dynamic_shapes=({0: batch},))
