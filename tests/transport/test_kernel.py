"""The Sinkhorn kernel compiles for GPUs that are not here, and its numbers, from Triton's interpreter, are torch's."""

from importlib.util import find_spec
from pathlib import Path

import pytest
from tests.support.interpreter import require_passing

pytestmark = pytest.mark.skipif(not find_spec("triton"), reason="Triton comes with torch on Linux only")


def test_the_interpreter_agrees_with_torch():
    require_passing(Path(__file__).with_name("interpreted_kernel.py"))


@pytest.mark.parametrize(("capability", "columns"), [(80, 64), (90, 100), (80, 1024), (90, 1024)])
def test_it_compiles_without_a_gpu(monkeypatch, tmp_path, capability, columns):
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from wcord.transport.kernel import OPTIONS, _alternate, constants

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    fixed = constants(columns, columns)
    kinds = {"num_rows": "i32", "iterations": "i32", "least": "fp32"}
    signature = {
        name: "constexpr" if name in fixed else kinds.get(name, "*fp32")  # the rest are pointers
        for name in _alternate.arg_names
    }
    try:
        compiled = triton.compile(
            ASTSource(_alternate, signature, fixed), target=GPUTarget("cuda", capability, 32), options=OPTIONS
        )
    except RuntimeError as error:
        if "ptxas" in str(error).lower():
            pytest.skip(f"the assembler of NVIDIA's GPUs is not there: {error}")
        raise
    assert compiled.asm["cubin"]
    assert compiled.metadata.shared <= 48 * 1024
