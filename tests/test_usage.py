"""The description of an exported student: its lines of Python run on a real file and agree with predict."""

import json
import re
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from wcord import api
from wcord.export import Format, export
from wcord.models.card import ModelCard, card_from_metadata
from wcord.models.weights import read_card
from wcord.training.config import TrainConfig, configure
from wcord.usage import describe_export, export_metadata, usage_code

pytestmark = pytest.mark.slow


def pictures(folder: Path, mode: str = "RGB", size: tuple[int, int] = (40, 30)) -> str:
    """Write pictures of noise, the last of them of another size, and one that its camera noted as turned."""
    draw = np.random.default_rng(0)
    for label in ("ant", "bee"):
        (folder / label).mkdir(parents=True)
        for number in range(28):
            values = draw.integers(0, 256, (size[1], size[0], 3), np.uint8)
            picture = Image.fromarray(values).convert("L" if mode == "I;16" else mode)
            if mode == "I;16":
                picture = Image.fromarray(np.asarray(picture, np.uint16) * 257)
            picture.save(folder / label / f"{number}.png")
    return f"imagefolder:{folder}"


def trained(folder: Path, model: str, source: str, **settings: Any) -> Path:
    given = {"model": model, "data": source, "out": folder, "epochs": 1, "batch_size": 8, "device": "cpu"}
    api.start(configure(TrainConfig, {**given, **settings}), say=lambda line: None)
    return folder


def executed(description: Path, name: str, file: Path) -> np.ndarray[Any, Any]:
    """Run the lines of Python in a description on a file, beside the exported program, and return probabilities."""
    (code,) = re.findall(r"```python\n(.*?)```", description.read_text(), re.DOTALL)
    assert f'"{name}"' in code
    script = description.with_name("script.py")
    script.write_text(
        code.replace(f'"{name}"', repr(str(file))).replace('("student.', f'("{description.parent}/student.')
    )
    return np.asarray(runpy.run_path(str(script))["probabilities"])


def predicted(run: Path, file: Path) -> np.ndarray[Any, Any]:
    card = read_card(run / "student.safetensors")
    assert card is not None
    guesses = api.predict_files(run / "student.safetensors", [file], top=len(card.classes), device="cpu")
    return np.array([[dict(zip(g.classes, g.probabilities, strict=True))[c] for c in card.classes] for g in guesses])


@pytest.mark.parametrize(
    ("mode", "model", "settings", "told"),
    [
        ("RGB", "resnet8", {}, ("B×3×30×40", "color (RGB)")),
        ("RGB", "resnet8", {"image_size": "20x24", "crop_fraction": 0.7}, ("B×3×20×24", "divided by 0.7")),
        ("RGB", "resnet8", {"view": "gray,resize=16"}, ("B×1×16×16", "`gray,resize=16`")),
        ("RGB", "resnet8", {"image_size": 24, "view": "crop=16x20,edges"}, ("B×1×16×20", "`crop=16x20,edges`")),
        ("RGB", "timm:test_vit", {"image_size": 180}, ("B×3×180×180", "180×180")),
        ("L", "resnet8", {"image_size": 24, "crop_fraction": 0.875}, ("B×1×24×24", "gray")),
        ("L", "resnet8", {"view": "rgb,crop=24"}, ("B×3×24×24", "gray")),
        ("I;16", "resnet8", {"image_size": 16}, ("B×1×16×16", "gray")),
    ],
)
def test_the_lines_for_pictures_do_as_predict_does(
    tmp_path: Path, mode: str, model: str, settings: dict[str, Any], told: tuple[str, ...]
) -> None:
    pytest.importorskip("onnxruntime", reason="the onnx extra is not installed")
    run = trained(tmp_path / "run", model, pictures(tmp_path / "set", mode), **settings)
    export(run, "onnx")
    text = (run / "student.onnx.md").read_text()
    assert all(one in text for one in told)
    turned = Image.open(tmp_path / "set" / "ant" / "3.png")
    exif = turned.getexif()
    exif[274] = 6
    turned.convert("RGB").resize((70, 44)).save(tmp_path / "turned.jpg", exif=exif)
    draw = np.random.default_rng(1)
    Image.fromarray(draw.integers(0, 65536, (33, 41), np.uint16)).save(tmp_path / "deep.png")
    Image.fromarray(draw.integers(0, 256, (33, 41), np.uint8)).save(tmp_path / "grey.png")
    own = (tmp_path / "set" / "ant" / "0.png", tmp_path / "set" / "bee" / "5.png")
    for file in (*own, tmp_path / "turned.jpg", tmp_path / "deep.png", tmp_path / "grey.png"):
        found = executed(run / "student.onnx.md", "picture.png", file)
        np.testing.assert_allclose(found, predicted(run, file), atol=1e-4)


def test_the_lines_for_torch_do_as_predict_does_and_leave_the_other_description(tmp_path: Path) -> None:
    run = trained(tmp_path / "run", "resnet8", pictures(tmp_path / "set"), image_size=16, crop_fraction=0.5)
    (run / "student.md").write_text("of the ONNX file")
    export(run, "torch")
    assert (run / "student.md").read_text() == "of the ONNX file"
    file = tmp_path / "set" / "bee" / "1.png"
    found = executed(run / "student.pt2.md", "picture.png", file)
    np.testing.assert_allclose(found, predicted(run, file), atol=1e-4)


def table(path: Path) -> str:
    draw = np.random.default_rng(0)
    frame = pd.DataFrame({"age": draw.normal(50, 9, 90), "sex": draw.choice(["F", "M"], 90)})
    frame["stage"] = draw.choice(["1", "2a", "3"], 90)
    frame["dose, mg"] = draw.integers(0, 40, 90)
    frame["label"] = np.where(frame["age"] > 50, "ill", "well")
    frame.loc[::7, "age"] = None
    frame.loc[::11, "stage"] = None
    frame.to_csv(path, index=False)
    return f"table:{path}"


@pytest.mark.parametrize("format", ["onnx", "torch"])
def test_the_lines_for_a_table_do_as_predict_does(tmp_path: Path, format: Format) -> None:
    run = trained(tmp_path / "run", "mlp16x1", table(tmp_path / "t.csv"))
    export(run, format)
    description = run / ("student.onnx.md" if format == "onnx" else "student.pt2.md")
    text = description.read_text()
    assert "in [0, 1]" not in text
    assert "the columns as they are in the table, NaN where a value is missing" in text
    assert (
        text.index("`age`") < text.index("`sex=M`: 1 where `sex` is `M`, 0 where it is `F`") < text.index("`dose, mg`")
    )
    found = executed(description, "table.csv", tmp_path / "t.csv")
    assert len(found) == 90
    np.testing.assert_allclose(found, predicted(run, tmp_path / "t.csv"), atol=1e-4)


def test_the_lines_for_a_sound_do_as_predict_does(tmp_path: Path) -> None:
    from scipy.io import wavfile

    draw = np.random.default_rng(0)
    for label, pitch in (("high", 1200), ("low", 200)):
        (tmp_path / "set" / label).mkdir(parents=True)
        for number in range(28):
            wave = np.sin(np.arange(8000) * 6.28 * pitch / 8000) + draw.normal(0, 0.3, 8000)
            wavfile.write(tmp_path / "set" / label / f"{number}.wav", 8000, (8000 * wave).astype(np.int16))
    run = trained(tmp_path / "run", "resnet8", f"audiofolder:{tmp_path / 'set'}", image_size="32x48")
    export(run, "torch")
    file = tmp_path / "set" / "low" / "2.wav"
    np.testing.assert_allclose(executed(run / "student.pt2.md", "sound.wav", file), predicted(run, file), atol=1e-4)


def test_the_onnx_file_says_what_it_is(tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="the onnx extra is not installed")
    source = pictures(tmp_path / "set")
    run = trained(tmp_path / "run", "resnet8", source, image_size="20x24", crop_fraction=0.5, view="gray,resize=16")
    session = onnxruntime.InferenceSession(export(run, "onnx").path)
    assert [(i.name, i.shape) for i in session.get_inputs()] == [("images", ["batch", 1, 16, 16])]
    assert [(o.name, o.shape) for o in session.get_outputs()] == [("logits", ["batch", 2])]
    told = session.get_modelmeta().custom_metadata_map
    assert card_from_metadata(told) == read_card(run / "student.safetensors")
    assert json.loads(told["classes"]) == ["ant", "bee"]
    assert json.loads(told["frame"]) == {"height": 20, "width": 24, "fraction": 0.5}
    assert told["view"] == "gray,resize=16"
    assert "normalisation is inside" in told["input"]


def test_columns_and_categories_are_in_the_metadata_and_several_visits_in_the_lines() -> None:
    card = ModelCard(
        "mlp8x1", 2, 2, (3, 1), ("a", "b"), (0.0,) * 2, (1.0,) * 2, columns=("x", 'say "y"=1'),
        record_shape=(2, 3, 1), extra={"categories": {'say "y"': ["0", "1"]}},
    )  # fmt: skip
    told = export_metadata(card, (2, 3, 1))
    assert json.loads(told["columns"]) == ["x", 'say "y"=1']
    assert json.loads(told["categories"]) == {'say "y"': ["0", "1"]}
    assert json.loads(told["frame"]) is None
    code = "\n".join(usage_code("student.onnx", "onnx", card, (2, 3, 1)))
    compile(code, "lines", "exec")
    assert "images = np.full((1, 2, 3, 1), np.nan, np.float32)  # the rows are the visits of one subject" in code
    assert "B×2×3×1" in describe_export("student.onnx", "onnx", card, (2, 3, 1), parameters=1)
