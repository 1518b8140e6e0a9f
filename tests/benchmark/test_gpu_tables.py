"""What comes before the rows on a GPU: its tests and the speed tables, and what the tables tell of steps."""

import json
import sys
from importlib.metadata import version
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest


def test_speed_tables_each_within_their_time(tables: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "speed" / "hangs.py").write_text("print('begun', flush=True)\nimport time\ntime.sleep(60)\n")
    (tmp_path / "speed" / "breaks.py").write_text("raise ValueError('no kernel')\n")
    (tmp_path / "speed" / "late.py").write_text("")
    wanted = [
        tables.Script(*one) for one in (("step", 60.0), ("hangs", 1.0), ("breaks", 30.0), ("late", 1e6), ("no", 1.0))
    ]
    lines: list[str] = []
    device = SimpleNamespace(type="cpu")
    for _ in range(2):  # a table that is there is not written again
        for one in wanted:
            tables.run_script(one, tmp_path / "out", device, 100.0, lines.append)
    table = tmp_path / "out" / "speed" / "step.json"
    each = ["speed/hangs: out of time", "speed/breaks: failed: ValueError: no kernel", "speed/late: no time"]
    assert lines == [f"speed/step: {table}", *each, *each]
    known = tables.step_table([tmp_path / "none", table])
    assert known.steps == {"kd": 0.002}
    assert known.source == "out/speed/step.json (no GPU, captured)"
    assert tables.step_table([tmp_path / "none"]) == tables.StepTable()


@pytest.mark.parametrize(
    ("changed", "is_kept"),
    [
        ({}, True),
        ({"gpu": "NVIDIA H200"}, False),
        ({"versions": {"torch": "2.0.0"}}, False),
        ({"rows": [{"method": "kd", "ms": 13.4}]}, False),
        ({"rows": [{"method": "kd", "form": "captured", "ms": None}]}, False),
    ],
)
def test_a_table_of_this_gpu_and_torch_is_not_measured_again(
    tables: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: dict[str, object], is_kept: bool
) -> None:
    monkeypatch.setattr(tables, "gpu_name", lambda device: "NVIDIA H100")
    device, committed, out = SimpleNamespace(type="cuda"), tmp_path / "committed", tmp_path / "out"
    committed.mkdir()
    (committed / "step.json").write_text(
        json.dumps({
            "gpu": "NVIDIA H100", "versions": {"torch": version("torch")},
            "rows": [{"method": "kd", "form": "captured", "ms": 3.0}], **changed,
        })
    )  # fmt: skip
    here, others = tables.step_tables(out / "speed", committed, device)
    assert here.steps == ({"kd": 0.003} if is_kept else {})
    assert (others.source == "") is is_kept

    lines: list[str] = []
    tables.run_script(tables.Script("step", 60.0), out, device, 100.0, lines.append, committed)
    kept = "speed/step: committed/step.json is of this GPU and torch, not measured again (--remeasure does)"
    assert (lines == [kept]) is is_kept
    tables.run_script(tables.Script("step", 60.0), out, device, 100.0, lines.append)  # --remeasure
    here, others = tables.step_tables(out / "speed", committed, device)
    assert here.source == "out/speed/step.json (no GPU, captured)"
    assert others.source.startswith("committed/step.json (")


def test_the_test_of_captured_steps_comes_first(tables: ModuleType, tmp_path: Path) -> None:
    for name in ("a/test_gpu_x.py", "test_gpu.py", "training/test_captured_gpu.py"):
        (tmp_path / "tests" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "tests" / name).write_text("pytestmark = pytest.mark.gpu\n")
    names = [path.relative_to(tmp_path / "tests").as_posix() for path in tables.gpu_tests()]
    assert names == ["training/test_captured_gpu.py", "test_gpu.py", "a/test_gpu_x.py", "test_one.py"]


def test_tests_that_run_out_of_time_say_how_far_they_came(
    tables: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tests" / "test_one.py").write_text(
        "import time, pytest\npytestmark = pytest.mark.gpu\n"
        "@pytest.mark.parametrize('n', range(3))\ndef test_it(n): assert n < 2\n"
        "def test_skipped(): pytest.skip('why FAILED')\n"
        "def test_long(): time.sleep(60)\n"
    )
    (tmp_path / "out").mkdir()
    lines: list[str] = []
    monkeypatch.setattr(tables, "TESTS_SECONDS", 6.0)
    tables.run_tests(tmp_path / "out", 100.0, lines.append)
    assert lines == ["GPU tests: 2 passed, 1 failed, out of time"]
    assert "::test_long" in (tmp_path / "out" / "tests.txt").read_text()


def test_tests_that_crash_say_how_far_they_came(tables: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "tests" / "test_one.py").write_text(
        "import os, pytest\npytestmark = pytest.mark.gpu\n"
        "def test_it(): pass\ndef test_crash(): os.kill(os.getpid(), 9)\n"
    )
    (tmp_path / "out").mkdir()
    lines: list[str] = []
    tables.run_tests(tmp_path / "out", 100.0, lines.append)
    assert lines == ["GPU tests: 1 passed, 0 failed, ended by signal 9"]


def test_the_machine_is_told_in_one_line(tables: ModuleType) -> None:
    line = tables.machine_line(SimpleNamespace(type="cpu"))
    assert all(word in line for word in ("torch ", "triton ", "cores", "wcord "))
    assert "\n" not in line
    assert sys.version_info  # the interpreter that runs the tests runs the scripts
