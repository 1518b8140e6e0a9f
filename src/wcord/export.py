"""Export of the student to ONNX or torch.export, checked against PyTorch."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from wcord.checks import RunError, UsageError
from wcord.data.loader import Loader
from wcord.marks import is_description, is_exported_onnx, is_exported_program
from wcord.models.network import Network
from wcord.models.weights import open_network, read_card
from wcord.overwriting import Output, require_writable, write_output
from wcord.setup.as_trained import open_for_network
from wcord.training.consent import resume_command
from wcord.training.run import STUDENT, RunFolder
from wcord.usage import Format, describe_export, export_metadata

TOLERANCE = 1e-4
"""Largest allowed difference of a logit, relative to the largest logit."""
BATCHES = (8, 3)
"""Sizes of the batches that are compared; two, to test the dynamic batch dimension."""

OUTPUT: dict[Format, Output] = {
    "onnx": Output("a model of wcord export", (".onnx",), is_exported_onnx),
    "torch": Output("a program of wcord export --format torch", (".pt2",), is_exported_program),
}
DESCRIPTION = Output("a description of wcord export", (".md",), is_description)


@dataclass(frozen=True)
class Exported:
    """An exported file.

    Attributes:
        path: the file.
        samples: images on which it was compared with PyTorch.
        data: their source.
        difference: largest absolute difference of a logit.
    """

    path: Path
    samples: int
    data: str
    difference: float


def export(
    run: Path, format: Format, *, out: Path | None = None, data: str | None = None, model: str | None = None
) -> Exported:
    """Export a run's student, with a description.

    The input, `images`, is a batch of the student's view, B×C×H×W with dynamic B: images in [0, 1], or the columns of
    a table; normalization is part of the model. The output is `logits`. The file contains the student's card as
    metadata; `student.onnx.md` (`student.pt2.md`) beside it describes the preprocessing.

    The file is written only if its logits equal PyTorch's, within 1e-4 of the largest, on real images.

    Args:
        run: folder of a finished run.
        format: "onnx" or "torch" (torch.export).
        out: file to write; default: beside the student. An existing file is replaced only if it is an export.
        data: source of the images for the check; default: the run's.
        model: the student's architecture, if it is user code.

    Raises:
        UsageError: if the run is not finished, `out` or its description is another file, or a library is missing.
        RunError: if the exported program differs from PyTorch.
    """
    folder = RunFolder(run)
    if not (run / STUDENT).is_file():
        raise UsageError(
            f"{str(run)!r} has no {STUDENT}: finish it with {resume_command(run, folder.configuration()[0])}"
        )
    network, card = open_network(run / STUDENT, model=model), read_card(run / STUDENT)
    assert card is not None, "open_network refuses a file without a card"
    suffix = OUTPUT[format].suffixes[0]
    target = out or run / f"student{suffix}"
    description = target.with_name(f"{target.name}.md")
    require_writable(target, OUTPUT[format])
    require_writable(description, DESCRIPTION, flag="the description")
    source, batches = _real_batches(folder, data)
    write = {"onnx": _write_onnx, "torch": _write_torch}[format]
    channels, height, width = batches[0].shape[1:]
    metadata = export_metadata(card, (channels, height, width))
    with tempfile.TemporaryDirectory() as scratch:
        draft = Path(scratch) / f"student{suffix}"
        runner = write(network, batches[0], draft, metadata)
        difference = max(_compare(network, runner, images) for images in batches)
        content = draft.read_bytes()
    write_output(target, content, OUTPUT[format])
    parameters = sum(p.numel() for p in network.parameters())
    text = describe_export(target.name, format, card, (channels, height, width), parameters=parameters)
    write_output(description, text.encode(), DESCRIPTION, flag="the description")
    return Exported(target, sum(len(images) for images in batches), source, difference)


def _real_batches(run: RunFolder, source: str | None) -> tuple[str, list[Tensor]]:
    config = run.configuration()[0].data
    opened = open_for_network(config if source is None else replace(config, data=source), run.path / STUDENT)
    if len(opened.test) < sum(BATCHES):
        raise UsageError(f"{opened.name} has {len(opened.test)} evaluation images, but the check needs {sum(BATCHES)}")
    images = next(Loader(opened.test, batch_size=sum(BATCHES)).batches()).student_input
    return opened.name, list(images.split(list(BATCHES)))


def _compare(network: Network, runner: Callable[[Tensor], Tensor], images: Tensor) -> float:
    with torch.no_grad():
        expected = network(images)
        difference = float((runner(images) - expected).abs().max())
    if not difference <= TOLERANCE * max(1.0, float(expected.abs().max())):
        raise RunError(f"the exported program differs from PyTorch by {difference:.2e} in a logit: nothing was written")
    return difference


def _write_torch(network: Network, images: Tensor, path: Path, metadata: dict[str, str]) -> Callable[[Tensor], Tensor]:
    program = torch.export.export(network, (images,), dynamic_shapes=_dynamic_batch())
    torch.export.save(program, path, extra_files=metadata)
    return torch.export.load(path).module()


def _write_onnx(network: Network, images: Tensor, path: Path, metadata: dict[str, str]) -> Callable[[Tensor], Tensor]:
    try:
        import onnxruntime
    except ImportError:
        raise UsageError("ONNX export needs onnx, onnxscript and onnxruntime: pip install 'wcord[onnx]'") from None
    program = torch.onnx.export(
        network,
        (images,),
        input_names=["images"],
        output_names=["logits"],
        dynamic_shapes=_dynamic_batch(),
        dynamo=True,
        external_data=False,
        verbose=False,
    )
    assert program is not None
    program.model.metadata_props.update(metadata)
    program.save(path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda batch: torch.from_numpy(session.run(["logits"], {"images": batch.numpy()})[0])


def _dynamic_batch() -> tuple[dict[int, torch.export.Dim]]:
    return ({0: torch.export.Dim("batch", min=1)},)
