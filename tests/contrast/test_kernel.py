"""The NCE kernel compiles for GPUs that are not here, and its numbers, from Triton's interpreter, are torch's."""

from importlib.util import find_spec
from pathlib import Path

import pytest
from tests.support.interpreter import require_passing

pytestmark = pytest.mark.skipif(not find_spec("triton"), reason="Triton comes with torch on Linux only")


def test_the_interpreter_agrees_with_torch():
    require_passing(Path(__file__).with_name("interpreted_kernel.py"))


@pytest.mark.parametrize(("capability", "width", "index", "pull"), [
    (80, 128, None, True), (90, 128, "*i64", True), (80, 256, "*i32", True), (90, 100, None, False),
])  # fmt: skip
def test_it_compiles_without_a_gpu(monkeypatch, tmp_path, capability, width, index, pull):
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from wcord.contrast.kernel import OPTIONS, _sweep, constants

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    fixed = constants(64, width, pull=pull) | ({"index": None} if index is None else {})
    kinds = dict.fromkeys(("anchors", "rows", "bias", "losses", "pulled"), "*fp32") | {
        "index": index,
        "batch": "i32",
        "num_rows": "i32",
    }
    signature = {name: "constexpr" if name in fixed else kinds[name] for name in _sweep.arg_names}
    try:
        compiled = triton.compile(
            ASTSource(_sweep, signature, fixed), target=GPUTarget("cuda", capability, 32), options=OPTIONS
        )
    except RuntimeError as error:
        if "ptxas" in str(error).lower():
            pytest.skip(f"the assembler of NVIDIA's GPUs is not there: {error}")
        raise
    assert compiled.asm["cubin"]
    # Shared memory of a block: 99 KiB on the smallest of these GPUs (capability 8.6).
    assert compiled.metadata.shared <= 99 * 1024
