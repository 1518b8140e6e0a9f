"""Build the wheel, install it apart from this tree and run it: python tools/check_wheel.py [--fresh] [FILE.whl].

The environment is new, and reads the dependencies of the one that runs this script, so that nothing large is installed
twice. With --fresh it installs every dependency anew, as a user does.
"""

import argparse
import os
import subprocess
import sys
import sysconfig
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SMALL = ("--data", "digits", "--subset", "10", "--epochs", "1", "--device", "cpu")
IMPORT = "import sys, wcord; assert wcord.__file__.startswith(sys.prefix), wcord.__file__; print(wcord.__version__)"


def run(*command: str | Path, cwd: Path) -> str:
    shown = " ".join(map(str, command))
    env = {**os.environ, "PYTHONPATH": "", "PYTHONSAFEPATH": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*map(str, command)], cwd=cwd, capture_output=True, text=True, env=env, check=False)
    if done.returncode:
        sys.exit(f"{shown}\n{done.stdout}{done.stderr}\nthe wheel does not work: see above")
    return done.stdout


def build(folder: Path) -> Path:
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, ROOT, cwd=folder)
    (wheel,) = folder.glob("*.whl")
    return wheel


def install(wheel: Path, home: Path, *, fresh: bool) -> Path:
    """Return the folder of programs of a new environment that holds the wheel."""
    venv.create(home, with_pip=True)
    python = home / "bin" / "python"
    if not fresh:
        packages = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=home).strip())
        own = Path(sysconfig.get_path("purelib"))
        linked = [line for file in own.glob("*.pth") for line in file.read_text().splitlines() if line.startswith("/")]
        places = [str(own), *(line for line in linked if not line.startswith(str(ROOT)))]
        (packages / "dependencies.pth").write_text("\n".join(places) + "\n")
    options = () if fresh else ("--no-deps", "--force-reinstall")
    run(python, "-m", "pip", "install", "--quiet", *options, wheel, cwd=home)
    return python.parent


def check(programs: Path, work: Path) -> None:
    """Train, distill, evaluate, report and export with what the wheel installed, away from this tree."""
    wcord = programs / "wcord"
    print("version", run(programs / "python", "-c", IMPORT, cwd=work).strip())
    run(wcord, "list", cwd=work)
    run(wcord, "benchmark", "mini", "--recipe-of", "mini/teachers/resnet14x2", cwd=work)
    run(wcord, "train", "--model", "resnet8", *SMALL, "--out", "teacher", cwd=work)
    weights = "teacher/student.safetensors"
    run(
        *(wcord, "distill", "--teacher", "resnet8", "--teacher-weights", weights, "--student", "resnet8", *SMALL),
        *("--allow-weak-teacher", "--out", "student"),
        cwd=work,
    )
    run(wcord, "evaluate", "--weights", "student/student.safetensors", "--data", "digits", cwd=work)
    run(wcord, "report", "teacher", "student", "--out", "page.html", cwd=work)
    assert (work / "page.html").stat().st_size > 10_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("wheel", nargs="?", type=Path, help="default: build one")
    parser.add_argument("--fresh", action="store_true", help="install every dependency anew")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        work = place / "work"
        work.mkdir()
        wheel = args.wheel.resolve() if args.wheel else build(place)
        check(install(wheel, place / "env", fresh=args.fresh), work)
        print(f"{wheel.name} works, installed apart from this tree")


if __name__ == "__main__":
    main()
