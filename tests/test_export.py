"""Exported students give PyTorch's logits on real images, for any batch size, or nothing is written."""

from pathlib import Path

import numpy as np
import pytest
import torch

import wcord
from wcord import export as export_module
from wcord.checks import RunError, UsageError
from wcord.export import export
from wcord.marks import is_description, is_exported_onnx, is_exported_program
from wcord.models.weights import open_network


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("export") / "run"
    wcord.distill(
        "resnet8", "resnet8", out=out, method="kd", epochs=1, subset=12.0, allow_weak_teacher=True, device="cpu"
    )
    return out


@pytest.mark.slow
def test_onnx_runs_elsewhere_with_the_same_logits(run: Path, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="the onnx extra is not installed")
    written = export(run, "onnx", out=tmp_path / "small.onnx")
    assert written.samples == 11
    assert written.difference < 1e-3
    session = onnxruntime.InferenceSession(written.path)
    images = torch.rand(5, 1, 8, 8)
    (logits,) = session.run(None, {session.get_inputs()[0].name: images.numpy()})
    with torch.no_grad():
        expected = open_network(run / "student.safetensors").eval()(images)
    np.testing.assert_allclose(logits, expected.numpy(), rtol=1e-3, atol=1e-4)
    card = (tmp_path / "small.onnx.md").read_text()
    assert "B×1×8×8" in card
    assert "resnet8, distilled from resnet8 by kd" in card


@pytest.mark.slow
def test_torch_export_loads_again(run: Path) -> None:
    written = export(run, "torch")
    assert written.path == run / "student.pt2"
    images = torch.rand(4, 1, 8, 8)
    with torch.no_grad():
        expected = open_network(run / "student.safetensors").eval()(images)
        torch.testing.assert_close(torch.export.load(written.path).module()(images), expected)


@pytest.mark.slow
def test_a_program_that_differs_is_not_written(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export_module, "_write_torch", lambda *_: lambda batch: torch.zeros(len(batch), 10))
    with pytest.raises(RunError, match="differs from PyTorch by"):
        export(run, "torch", out=tmp_path / "x.pt2")
    assert not (tmp_path / "x.pt2").exists()


def test_unfinished_runs_are_told(run: Path, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text((run / "config.toml").read_text())
    with pytest.raises(UsageError, match=r"has no student\.safetensors: finish it"):
        export(tmp_path, "onnx")


def test_only_exports_are_replaced(run: Path, tmp_path: Path) -> None:
    again = export(run, "torch", out=tmp_path / "a.pt2")
    assert is_exported_program(again.path)
    assert is_description(tmp_path / "a.pt2.md")
    export(run, "torch", out=tmp_path / "a.pt2")
    for name, file in (("b.pt2", "b.pt2"), ("c.pt2", "c.pt2.md")):
        (tmp_path / file).write_text("mine")
        with pytest.raises(UsageError, match=rf"{file}' exists and is not"):
            export(run, "torch", out=tmp_path / name)
        assert (tmp_path / file).read_text() == "mine"
    with pytest.raises(UsageError, match=r"must end in \.pt2"):
        export(run, "torch", out=run / "student.safetensors")


@pytest.mark.slow
def test_an_onnx_export_is_known_again(run: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="the onnx extra is not installed")
    for _ in range(2):
        assert is_exported_onnx(export(run, "onnx", out=tmp_path / "a.onnx").path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.onnx", "a.onnx.md"]
