"""Whatever ends a run under way is one line with its step; a sample that cannot be read may then be replaced."""

import json
import pickle
from pathlib import Path

import pytest

from wcord.checks import NonFiniteError, RunError, UsageError
from wcord.data.images import UnreadableError
from wcord.training.failure import failing
from wcord.training.run import RunFolder


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    folder = RunFolder.create(tmp_path / "run", "model = 'resnet8'\nout = 'run'\n")
    folder.note_start("c", {}, data={"classes": "x"})
    return folder


def test_nan_is_told_with_its_step_and_a_remedy(run: RunFolder) -> None:
    with pytest.raises(RunError, match="step 7: logits holds 3 values; lower --lr"), failing(run, lambda: 7):
        raise NonFiniteError("logits holds 3 values")
    assert "damaged_data" not in (run.path / "starts.jsonl").read_text()


def test_a_sample_that_cannot_be_read_is_noted(run: RunFolder) -> None:
    told = r"step 0: image 'a' cannot be read \(the file is gone\): put a whole one in its place and go on with wcord "
    with pytest.raises(RunError, match=told), failing(run, lambda: 0):
        raise UnreadableError("image 'a'", "the file is gone")
    assert json.loads((run.path / "starts.jsonl").read_text())["damaged_data"]


def test_other_mistakes_stay_what_they_are(run: RunFolder) -> None:
    with pytest.raises(UsageError, match="of another kind"), failing(run, lambda: 0):
        raise UsageError("of another kind")


def test_the_error_of_an_image_comes_whole_from_another_process() -> None:
    error = pickle.loads(pickle.dumps(UnreadableError("image 'a'", "damaged")))
    assert error.fault == "image 'a' cannot be read (damaged)"
    assert "--skip-bad-images" in str(error)
