"""Plain lines where there is no terminal, silence in other processes."""

import pytest

from wcord.training.progress import RunProgress


def test_lines_go_to_stderr_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with RunProgress(10) as progress:
        progress.show(1, epoch="epoch 1/2", values={"loss": 1.0}, images_per_second=10)
        progress.line("epoch 1 done [50 %]")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "epoch 1 done [50 %]\n"


def test_other_processes_are_silent(capsys: pytest.CaptureFixture[str]) -> None:
    with RunProgress(10, visible=False) as progress:
        progress.line("nothing")
    assert capsys.readouterr().err == ""
