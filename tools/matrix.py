"""Run the tests on Python 3.11 to 3.14 with the oldest and the newest torch: python tools/matrix.py --part 1/8.

Each combination has an environment in .matrix/, made once. `--part K/N` runs the K-th of N shares of the
combinations, so that a CI can spread them over jobs; `--tests` limits what is run. Interpreters that this machine
lacks are listed at the end, and are no failure unless `--require-all` is given.
"""

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
TORCHES = {"oldest": ("torch==2.11.*", "torchvision==0.26.*"), "newest": ("torch", "torchvision")}


def interpreter(version: str) -> str | None:
    """Return an interpreter of this version that starts, from the path or from pyenv."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    named = shutil.which(f"python{version}")
    places = [*sorted(map(str, pyenv.glob(f"{version}.*/bin/python")), reverse=True), *([named] if named else [])]
    code = "import sys, venv, ensurepip; print('%d.%d' % sys.version_info[:2])"
    for place in places:
        done = subprocess.run([place, "-c", code], capture_output=True, text=True, check=False)
        if done.stdout.strip() == version:
            return place
    return None


def combinations() -> Iterator[tuple[str, str]]:
    """Yield (Python, torch): the ends first, so that a short part covers them."""
    yield from ((python, "newest") for python in PYTHONS)
    yield from ((python, "oldest") for python in PYTHONS)


def share(part: str) -> list[tuple[str, str]]:
    """Return the combinations of part K/N.

    >>> share("1/8"), share("8/8")
    ([('3.11', 'newest')], [('3.14', 'oldest')])
    """
    number, total = map(int, part.split("/"))
    if not 1 <= number <= total:
        raise SystemExit(f"--part must be K/N with 1 <= K <= N, received {part}")
    return list(combinations())[number - 1 :: total]


def environment(python: str, torch: str) -> Path:
    """Return the interpreter of the environment of a combination, which is made at the first call."""
    version = subprocess.run([python, "-V"], capture_output=True, text=True, check=True).stdout.split()[1]
    home = ROOT / ".matrix" / f"{version}-{torch}"
    inside = home / "bin" / "python"
    if not (home / ".ready").exists():
        subprocess.run([python, "-m", "venv", "--clear", home], check=True)
        pip = [inside, "-m", "pip", "install", "--quiet"]
        subprocess.run([*pip, "--upgrade", "pip"], check=True)
        subprocess.run(
            [*pip, *TORCHES[torch], "--editable", ".[onnx,tensorboard]", "--group", "dev"], cwd=ROOT, check=True
        )
        (home / ".ready").touch()
    return inside


def run(python: str, torch: str, tests: list[str]) -> bool:
    inside = environment(python, torch)
    versions = "import sys, torch; print(f'Python {sys.version.split()[0]}, torch {torch.__version__}')"
    subprocess.run([inside, "-c", versions], check=True)
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [inside, "-m", "pytest", "-n", "2", "--dist", "worksteal", *tests]
    return subprocess.run(command, cwd=ROOT, env=env, check=False).returncode == 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", default="1/1", help="K/N: the K-th of N shares")
    parser.add_argument("--list", action="store_true", help="say what would be run, and stop")
    parser.add_argument("--require-all", action="store_true", help="fail where an interpreter is missing")
    parser.add_argument("--tests", nargs="*", default=[], help="files or folders of tests; default: all")
    args = parser.parse_args()
    results: dict[str, str] = {}
    for version, torch in share(args.part):
        python = interpreter(version)
        if python is None:
            results[f"Python {version}, torch {torch}"] = "not run: this machine has no such interpreter"
        elif args.list:
            results[f"Python {version}, torch {torch}"] = f"would run on {python}"
        else:
            results[f"Python {version}, torch {torch}"] = "passed" if run(python, torch, args.tests) else "FAILED"
    print("\n".join(f"{name}: {result}" for name, result in results.items()))
    missing = any(result.startswith("not run") for result in results.values())
    return 1 if "FAILED" in results.values() or (missing and args.require_all) else 0


if __name__ == "__main__":
    sys.exit(main())
