"""Smoke tests on real pairs: everything is found, read and trained on; too few samples for any claim of accuracy."""

import tarfile
from pathlib import Path

import numpy as np
import pytest

import wcord
from wcord import api
from wcord.checks import UsageError

SHARED = Path(__file__).parents[1].parent / "shared" / "data"


def needs(name: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(not (SHARED / name).is_dir(), reason=f"{name} does not lie beside the project")


def smoke(out: Path, data: str, **settings: object) -> api.Result:
    made = {"method": "wcord+kd", "set": ["wcord.num_negatives=16"], "epochs": 1, "batch_size": 16, "device": "cpu",
            "allow_weak_teacher": True, "data": data, "out": out, **settings}  # fmt: skip
    result = wcord.distill("resnet8", "resnet8", **made)
    assert result.record is not None
    assert all(np.isfinite(value) for value in result.record.epochs[-1]["parts"].values())
    return result


@needs("oct_kermany")
def test_retinal_scans_of_high_and_low_resolution(tmp_path: Path) -> None:
    result = smoke(tmp_path / "run", f"imagefolder:{SHARED / 'oct_kermany'}", image_size=64, student_view="resize=16")
    assert result.record is not None
    assert result.record.num_classes == 4
    assert any("resize=16, 1×16×16 pixels, the teacher 1×64×64 pixels" in note for note in result.record.notes)


@needs("rgbd_pairs")
def test_colour_and_depth_of_one_scene_without_labels(tmp_path: Path) -> None:
    pairs = SHARED / "rgbd_pairs"
    result = smoke(
        tmp_path / "run", f"imagefolder:{pairs / 'depth'}", teacher_data=f"imagefolder:{pairs / 'color'}",
        pair_by="stem", no_labels=True, teacher_classes=3, student_view="resize=32", teacher_view="resize=32",
    )  # fmt: skip
    assert result.record is not None
    assert set(result.record.epochs[-1]["parts"]) == {"gckt", "lckt", "kd"}
    assert any(
        "the student sees resize=32, 1×32×32 pixels, the teacher resize=32, 3×32×32" in n for n in result.record.notes
    )


@needs("orl_faces")
def test_faces_of_two_resolutions_one_subject_missing(tmp_path: Path) -> None:
    for subjects in ("39subj_92x112", "40subj_23x28"):
        with tarfile.open(SHARED / "orl_faces" / f"att_faces_{subjects}.tar.gz") as archive:
            archive.extractall(tmp_path / subjects, filter="data")
    large, small = (f"imagefolder:{tmp_path / name / 'att_faces'}" for name in ("39subj_92x112", "40subj_23x28"))
    settings = {"teacher_data": large, "pair_by": "path", "teacher_view": "resize=48"}
    with pytest.raises(UsageError, match="10 train samples of the student's data have no partner"):
        smoke(tmp_path / "no", small, **settings)
    result = smoke(tmp_path / "run", small, **settings, unpaired="drop", method="wcord")
    assert result.record is not None
    assert any("left out: 10 train samples of the student's data have no partner" in n for n in result.record.notes)
