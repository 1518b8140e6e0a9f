"""Make a release: check tree, version and changelog, build, try the wheel in a fresh environment, tag.

Nothing is uploaded: the tag and the files in dist/ are what a release is made of.
"""

import argparse
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def version() -> str:
    text = (ROOT / "src" / "wcord" / "__init__.py").read_text(encoding="utf-8")
    (found,) = re.findall(r'^__version__ = "(.+)"$', text, re.MULTILINE)
    return found


def problems(new: str, changelog: str, citation: str, status: str, tags: list[str]) -> list[str]:
    """Return what stands against releasing this version, a line each.

    >>> changelog = "## [Unreleased]\\n\\n## [0.2.0] - 2026-01-31\\n\\n- A change.\\n"
    >>> problems("0.2.0", changelog, "version: 0.2.0\\n", "", [])
    []
    >>> problems("0.3.0", changelog, "version: 0.2.0\\n", " M README.md", ["v0.3.0"])
    ['the tree has changes that are not committed:  M README.md', 'CHANGELOG.md has no section ## [0.3.0] - YYYY-MM-DD',
     'CITATION.cff does not have version 0.3.0', 'the tag v0.3.0 exists']
    """
    unreleased = re.search(r"^## \[Unreleased\]\n(.*?)(?=^## |\Z)", changelog, re.DOTALL | re.MULTILINE)
    checks = {
        f"the tree has changes that are not committed: {status}": not status.strip(),
        f"CHANGELOG.md has no section ## [{new}] - YYYY-MM-DD": re.search(
            rf"^## \[{re.escape(new)}\] - \d{{4}}-\d\d-\d\d$", changelog, re.MULTILINE
        ),
        "CHANGELOG.md has entries under Unreleased": not (unreleased and unreleased[1].strip()),
        f"CITATION.cff does not have version {new}": f"version: {new}\n" in citation,
        f"the tag v{new} exists": f"v{new}" not in tags,
    }
    return [line for line, holds in checks.items() if not holds]


def git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dry-run", action="store_true", help="only say what stands against a release")
    args = parser.parse_args()
    new = version()
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    against = problems(new, changelog, citation, git("status", "--short"), git("tag").split())
    if against or args.dry_run:
        print("\n".join(against) or f"{new} can be released")
        return 1 if against else 0
    dist = ROOT / "dist"
    subprocess.run([sys.executable, "-m", "build", "--outdir", dist, ROOT], check=True)
    wheel = dist / f"wcord-{new}-py3-none-any.whl"
    subprocess.run([sys.executable, ROOT / "tools" / "check_wheel.py", "--fresh", wheel], check=True)
    git("tag", "--annotate", f"v{new}", "--message", f"wcord {new}")
    print(f"tagged v{new}; {wheel.name} and the sdist are in dist/: push the tag and publish them where you do")
    return 0


if __name__ == "__main__":
    sys.exit(main())
