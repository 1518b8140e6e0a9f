"""How to use an exported student elsewhere: its input and output in words, in metadata and in Python code."""

import json
from typing import Literal

from wcord.data.images import Frame
from wcord.data.sources.audio import FRAMES, WINDOW
from wcord.data.view import COLOR, View
from wcord.models.card import SEVERAL_LABELS, ModelCard
from wcord.setup.as_trained import frame_of
from wcord.terminal import json_text, markdown_cell

Format = Literal["onnx", "torch"]
Shape = tuple[int, int, int]
"""Channels, height and width of one record."""

LUMA = "values = np.tensordot([0.299, 0.587, 0.114], values, 1)[None]"
SPECTROGRAM = Frame(WINDOW // 2, FRAMES)


def describe_export(name: str, format: Format, card: ModelCard, shape: Shape, *, parameters: int) -> str:
    """Return a Markdown description of an exported student: input, output, accuracy and origin.

    Args:
        name: name of the file.
        format: format of the file.
        card: the student's card.
        shape: shape of one record of its input.
        parameters: number of its parameters.
    """
    origin = card.extra
    method = f" by {origin['method']}" if origin.get("method") else ""
    teacher = f", distilled from {origin['teacher']}{method}" if origin.get("teacher") else ""
    facts = {
        "input `images`": f"float32, B×{'×'.join(map(str, shape))}, {_values(shape)}",
        **_preparation(card, shape),
        "output `logits`": f"float32, B×{card.num_classes}",
        **_reached(card),
        "parameters": f"{parameters:,}",
    }
    return "\n".join(
        [
            f"# {markdown_cell(name)}",
            "",
            markdown_cell(f"{card.architecture}{teacher} on {origin.get('data')}, seed {origin.get('seed')}."),
            "",
            "| | |",
            "|---|---|",
            *(f"| {name} | {value} |" for name, value in facts.items()),
            "",
            f"Classes, in the order of the logits: {', '.join(map(markdown_cell, card.classes))}",
            "",
            *_columns(card),
            "```python",
            *usage_code(name, format, card, shape),
            "```",
            "",
        ]
    )


def export_metadata(card: ModelCard, shape: Shape) -> dict[str, str]:
    """Return the metadata of an exported file: the card as in the weights file, and its parts by name."""
    frame = frame_of(card)
    parts = {
        "classes": list(card.classes),
        "view": card.view,
        "frame": None if frame is None else vars(frame),
        "columns": list(card.columns),
        "categories": card.extra.get("categories", {}),
        "input": f"float32, {_values(shape)}",
    }
    texts = {
        name: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for name, value in parts.items()
    }
    return card.to_metadata() | texts


def usage_code(name: str, format: Format, card: ModelCard, shape: Shape) -> list[str]:
    """Return lines of Python that read one file, prepare it as the student was trained, and run the exported program.

    They need wcord itself only for sounds, and for views other than resizing, cropping and gray.
    """
    if shape[2] == 1:
        kind, body = {"import pandas as pd"}, _rows(card, shape)
    elif card.extra.get("sounds"):
        kind, body = {"from wcord.data.sources.audio import spectrogram"}, _sound(card)
    else:
        kind, body = {"from PIL import Image, ImageOps"}, _picture(card)
    run = {
        "onnx": (
            f"session = onnxruntime.InferenceSession({_literal(name)})",
            '(logits,) = session.run(["logits"], {"images": images})',
        ),
        "torch": (
            f"program = torch.export.load({_literal(name)}).module()",
            "logits = program(torch.from_numpy(images)).detach().numpy()",
        ),
    }[format]
    imports = {"import numpy as np", *kind, *_imports_of(body, run)}
    ordered = sorted(imports, key=lambda line: (line.startswith("from wcord"), line.split()[1].lower()))
    read = [
        "probabilities = np.exp(logits - logits.max(1, keepdims=True))",
        "probabilities /= probabilities.sum(1, keepdims=True)",
        "print(probabilities.argmax(1), probabilities.max(1))  # numbers of classes, from 0 in the order above",
    ]
    if card.extra.get(SEVERAL_LABELS):
        read = [
            "probabilities = 1 / (1 + np.exp(-logits))  # of each label by itself",
            "print(np.argwhere(probabilities >= 0.5))  # rows, and numbers of labels, from 0 in the order above",
        ]
    return [*ordered, "", *body, *run, *read]


def _reached(card: ModelCard) -> dict[str, str]:
    name, measure = ("map_last", "mAP") if card.extra.get(SEVERAL_LABELS) else ("top1_last", "top-1")
    reached = card.extra.get(name)
    return {} if reached is None else {f"{measure}, last epoch": f"{reached:.2f} % on the evaluation split"}


def _code(text: str) -> str:
    """Return a text as code within a line of Markdown."""
    return f"`{text}`" if text.isprintable() and "`" not in text else markdown_cell(text)


def _literal(text: str) -> str:
    """Return a text as Python writes it, in double quotes."""
    return json_text(text)


def _imports_of(*parts: "list[str] | tuple[str, ...]") -> set[str]:
    """Return the imports that lines need in addition to those of their kind."""
    text = "\n".join(line for part in parts for line in part)
    needed = {
        "onnxruntime.": "import onnxruntime",
        "torch.": "import torch",
        "View.": "from wcord.data.view import View",
        "resize_all(": "from wcord.data.memory import resize_all",
        "Frame(": "from wcord.data.images import Frame",
        "Image.": "from PIL import Image, ImageOps" if "ImageOps" in text else "from PIL import Image",
    }
    return {line for mark, line in needed.items() if mark in text}


def _values(shape: Shape) -> str:
    if shape[2] == 1:
        return "the columns as they are in the table, NaN where a value is missing; standardization is inside"
    return "in [0, 1]; normalization is inside"


def _preparation(card: ModelCard, shape: Shape) -> dict[str, str]:
    """Return the preparation of a record."""
    frame = frame_of(card)
    if frame is None or shape[2] == 1:
        return {"view": f"`{card.view}`"} if card.view else {}
    color = "color (RGB)" if card.record is not None and card.record[0] == COLOR else "gray"
    cover = f"resized until they cover {frame.height}×{frame.width} pixels"
    if frame.fraction != 1:
        cover += f" divided by {frame.fraction:g}"
    facts = {
        "pictures": f"{color}, upright, {cover} (bilinear, antialiased), then cropped to the middle",
    }
    if card.extra.get("sounds"):
        facts = {
            "sounds": f"spectrograms from `wcord.data.sources.audio.spectrogram`, {cover}, then cropped to the middle"
        }
    return facts | ({"view": f"then the view `{card.view}`, see `wcord list --views`"} if card.view else {})


def _columns(card: ModelCard) -> list[str]:
    """Return the columns of a table in the order of the channels, one line each."""
    if not card.columns:
        return []
    categories = card.extra.get("categories", {})
    lines = ["Columns, in the order of the channels:", ""]
    for number, name in enumerate(card.columns):
        column, _, value = name.partition("=")
        line = f"{number}. {_code(name)}"
        if column in categories:
            others = ", ".join(_code(other) for other in categories[column] if other != value)
            line += f": 1 where {_code(column)} is {_code(value)}, 0 where it is {others}, NaN where it is missing"
        lines.append(line)
    return [*lines, ""]


def _picture(card: ModelCard) -> list[str]:
    frame = frame_of(card)
    assert frame is not None, "a run's card holds the frame of its pictures"
    gray = card.record is not None and card.record[0] == 1
    lines = [
        'picture = ImageOps.exif_transpose(Image.open("picture.png"))',
        'deep = picture.mode.startswith("I")  # 16 bits a pixel',
        'picture = Image.fromarray(np.asarray(picture, np.float32) / 65535) if deep else picture.convert("RGB")',
    ]
    fraction = "" if frame.fraction == 1 else f" / {frame.fraction!r}"
    lines += [
        f"height, width = {frame.height}, {frame.width}",
        f"scale = max(width / picture.width, height / picture.height){fraction}",
        "wide, tall = max(width, round(picture.width * scale)), max(height, round(picture.height * scale))",
        "left, top = (wide - width) // 2, (tall - height) // 2",
        "picture = picture.resize((wide, tall), Image.Resampling.BILINEAR)",
        "picture = picture.crop((left, top, left + width, top + height))",
    ]
    lines += [
        "if deep:",
        f"    values = np.asarray(picture)[None]{'' if gray else '.repeat(3, 0)'}",
        "else:",
        "    values = np.asarray(picture, np.float32).transpose(2, 0, 1) / 255",
        *([f"    {LUMA}"] if gray else []),
    ]
    channels = 1 if gray else COLOR
    return [*lines, *_view(card.view, (channels, frame.height, frame.width)), "images = np.float32(values)[None]"]


def _sound(card: ModelCard) -> list[str]:
    frame = frame_of(card)
    read = 'spectrogram("sound.wav")'
    if frame is not None and frame != SPECTROGRAM:
        read = f"resize_all(torch.from_numpy({read})[None], {frame!r})[0].numpy()"
    lines = [f"values = {read} / np.float32(255)"]
    return [
        *lines,
        *_view(card.view, (1, frame.height, frame.width) if frame else (1, 64, 128)),
        "images = np.float32(values)[None]",
    ]


def _rows(card: ModelCard, shape: Shape) -> list[str]:
    """Return code that reads the rows of a csv file, or the visits of one subject in order."""
    categories = card.extra.get("categories", {})
    texts = ", ".join(f"{_literal(column)}: str" for column in categories)
    read = f", dtype={{{texts}}}" if texts else ""
    lines = [f'frame = pd.read_csv("table.csv"{read})', "columns = ["]
    for name in card.columns:
        column, _, value = name.partition("=")
        source = (
            f"(frame[{_literal(column)}] == {_literal(value)}).where(frame[{_literal(column)}].notna())"
            if column in categories
            else f"frame[{_literal(name)}]"
        )
        lines.append(f"    {source},")
    lines += ["]", "values = np.array([column.astype(float) for column in columns], np.float32)"]
    channels, visits, _ = shape
    if visits == 1:
        return [*lines, "images = values.T[:, :, None, None]"]
    return [
        *lines,
        f"images = np.full((1, {channels}, {visits}, 1), np.nan, np.float32)  # the rows are the visits of one subject",
        f"images[0, :, : values.shape[1], 0] = values[:, :{visits}]",
    ]


def _view(text: str, shape: Shape) -> list[str]:
    """Return code that applies a view to values of a shape, C×H×W, step by step."""
    lines = []
    for part in filter(None, text.split(",")):
        after = View(part).shape(shape)
        lines += _step(part, shape, after)
        shape = after
    return lines


def _step(part: str, before: Shape, after: Shape) -> list[str]:
    name = part.partition("=")[0]
    _, height, width = after
    if before == after and name in ("gray", "rgb", "resize", "crop"):
        return []
    if name == "gray":
        return [LUMA]
    if name == "rgb":
        return ["values = np.repeat(values, 3, axis=0)"]
    if name == "crop":
        top, left = (before[1] - height) // 2, (before[2] - width) // 2
        return [f"values = values[:, {top}:{top + height}, {left}:{left + width}]"]
    if name == "resize":
        resized = f"Image.fromarray(np.float32(channel)).resize(({width}, {height}), Image.Resampling.BILINEAR)"
        return [f"values = np.stack([{resized} for channel in values])"]
    return [f'values = View.parse("{part}")(torch.from_numpy(np.float32(values))[None])[0].numpy()']
