"""The benchmark of GPU kernels where there is no GPU: it says so, and its parts compute and judge as they should."""

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
import torch

SPEED = Path(__file__).parents[2] / "benchmarks" / "speed"
CPU = torch.device("cpu")


@pytest.fixture
def script(monkeypatch):
    pytest.importorskip("triton", reason="Triton comes with torch on Linux only")
    monkeypatch.syspath_prepend(str(SPEED))
    monkeypatch.delitem(sys.modules, "kernels", raising=False)
    threads = torch.get_num_threads()
    module = import_module("kernels")
    monkeypatch.setattr(module, "CALLS", 1)
    yield module
    torch.set_num_threads(threads)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU, on which it would run for minutes")
@pytest.mark.parametrize("options", [[], ["--device", "cuda"]])
def test_without_a_gpu_it_ends_with_one_line(options):
    ran = subprocess.run(
        [sys.executable, str(SPEED / "kernels.py"), *options], capture_output=True, text=True, timeout=120
    )
    assert ran.returncode == 1
    assert ran.stdout == ""
    assert ran.stderr.startswith("kernels.py: ")
    assert ran.stderr.count("\n") == 1


def test_its_cases_are_computed_in_every_form(script):
    data = script.nce_data(4, 100, CPU)
    index = torch.randint(100, (4, 30))
    cases = [
        script.transport_case(6, CPU),
        script.nce_case("expected", data, None),
        script.nce_case("shared", data, index[0]),
    ]
    rows = [row for case in cases for row in script.rows_of(case, 1, CPU)]
    rows.append(script.gathering_row(data, index, 1, CPU))
    assert [row["case"] for row in rows[:2]] == ["Sinkhorn B=6"] * 2
    assert all(row["eager ms"] > 0 and row["captured ms"] is None for row in rows)
    assert len({tuple(row) for row in rows}) == 1
    # On a CPU every form is torch's.
    assert {row["difference"] for row in rows[:-1]} == {0.0}
    assert {row["verdict"] for row in rows} == {"", "not measured"}
    assert script.sizes_to_keep(rows, cases) == {}


@pytest.mark.parametrize(("in_loss", "alone", "expected"), [
    (1.5, 1.0, "keep"), (1.0, 3.5, "keep"), (1.0, 2.9, "drop"), (0.7, 1.0, "drop"), (None, None, "not measured"),
])  # fmt: skip
def test_the_rule_by_which_a_kernel_is_kept(script, in_loss, alone, expected):
    assert script.verdict(in_loss, alone) == expected


def test_a_kernel_is_kept_up_to_the_size_at_which_it_first_lost(script):
    verdicts = {("a", 64): "keep", ("a", 128): "keep", ("a", 256): "drop", ("a", 512): "keep", ("b", 64): "drop"}
    cases = [script.Case(f"{kernel} {size}", kernel, size, tuple, tuple) for kernel, size in verdicts]
    rows = [
        {"case": case.name, "form": "kernel", "verdict": found}
        for case, found in zip(cases, verdicts.values(), strict=True)
    ]
    assert script.sizes_to_keep(rows, cases) == {"a": 128}


def test_a_kernel_that_fails_is_a_row_that_says_so(script, monkeypatch):
    # Tensors of the CPU that pass for a GPU's: the kernel cannot be launched.
    monkeypatch.setattr("wcord.kernels._suits", lambda tensor: True)
    rows = script.rows_of(script.transport_case(6, CPU), 1, CPU)
    assert [row["form"] for row in rows] == ["torch", "kernel"]
    assert "the GPU kernel 'sinkhorn' failed" in rows[1]["verdict"]
    assert rows[1]["eager ms"] is None
