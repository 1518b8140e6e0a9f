import sys
from pathlib import Path

import pytest

from wcord import api
from wcord.checks import UsageError
from wcord.cli import main
from wcord.training.config import DistillConfig, TrainConfig, configure
from wcord.training.consent import needs_consent, require_consent, require_same_code, resume_command

MODULE = """
import pathlib
pathlib.Path({mark!r}).touch()
from wcord import create_model

def small(num_classes, in_channels):
    return create_model("resnet8", num_classes=num_classes, in_channels=in_channels)
"""


def config(kind=DistillConfig, **settings):
    names = {"model": "resnet8"} if kind is TrainConfig else {"teacher": "resnet8", "student": "resnet8"}
    return configure(kind, {**names, "out": "run", **settings})


@pytest.fixture
def started(tmp_path, monkeypatch, request):
    """A stopped run of a network of one's own, and a mark that is made when its module is imported."""
    name, mark = f"own_{abs(hash(request.node.nodeid))}", tmp_path / "mark"
    (tmp_path / f"{name}.py").write_text(MODULE.format(mark=str(mark)))
    monkeypatch.chdir(tmp_path)
    settings = {"model": f"{name}:small", "out": tmp_path / "run", "epochs": 1, "subset": 4, "device": "cpu"}
    api.start(configure(TrainConfig, settings), say=lambda line: None)
    for made in (tmp_path / "run" / "record.json", tmp_path / "run" / "student.safetensors", mark):
        made.unlink()
    monkeypatch.delitem(sys.modules, name)
    return tmp_path / "run", f"{name}:small", mark


def test_a_folder_alone_runs_nothing(started, capsys):
    run, name, mark = started
    assert main(["train", "--resume", str(run)]) == 2
    told = capsys.readouterr().err
    assert f"resume with: wcord train --resume {run} --model {name}" in told
    assert told.count("\n") == 1
    with pytest.raises(UsageError, match="your own code"):
        api.resume(run)
    assert not mark.exists()
    line = told.rstrip().partition("resume with: wcord ")[2].split()
    assert main(line) == 0
    assert mark.exists()
    assert (run / "record.json").exists()


def test_a_folder_can_be_trusted(started):
    run, _, mark = started
    assert main(["train", "--resume", str(run), "--trust-run"]) == 0
    assert mark.exists()


def test_another_name_does_not_count(started, capsys):
    run, _, mark = started
    assert main(["train", "--resume", str(run), "--model", "os:abort"]) == 2
    assert main(["train", "--resume", str(run), "--student", "os:abort"]) == 2
    assert "received --model os:abort: a run keeps its settings" in capsys.readouterr().err
    assert not mark.exists()


@pytest.mark.parametrize(
    ("settings", "needed"),
    [
        ({"student": "os:abort"}, {"student": ("os:abort",)}),
        ({"teacher": "simkd:resnet8:os:abort"}, {"teacher": ("simkd:resnet8:os:abort",)}),
        ({"tracker": ["tensorboard", "wandb"]}, {"tracker": ("wandb",)}),
        ({"student": "timm:resnet18", "teacher": "hf:some/net"}, {}),
    ],
)
def test_what_needs_a_word(settings, needed):
    asked = config(**settings)
    assert needs_consent(asked) == needed
    if needed:
        with pytest.raises(UsageError, match="folder alone starts"):
            require_consent(Path("run"), asked, {})
    named = {setting: getattr(asked, setting, asked.training.tracker) for setting in needed}
    require_consent(Path("run"), asked, named)
    require_consent(Path("run"), asked, {}, provided=list(needed))


def test_the_line_names_all_that_is_needed():
    asked = config(student="a.b:net", teacher="a.c:net", tracker=["wandb", "mlflow"])
    line = "wcord distill --resume 'my run' --teacher a.c:net --student a.b:net --tracker wandb mlflow"
    assert resume_command(Path("my run"), asked) == line


def test_a_suite_starts_no_code_that_only_a_folder_names():
    require_same_code(Path("run"), config(student="a.b:net"), config(student="a.b:net"))
    with pytest.raises(UsageError, match="begun with student os:abort, which is not the suite's"):
        require_same_code(Path("run"), config(student="os:abort"), config(student="a.b:net"))
