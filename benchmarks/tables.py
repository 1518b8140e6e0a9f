"""Write the README's tables and benchmarks/README.md from the catalogue and the committed records: nothing by hand."""

import json
import re
from pathlib import Path
from typing import Any

from wcord.methods.catalogue import METHODS
from wcord.report.record import Record
from wcord.report.tables import markdown, rows

ROOT = Path(__file__).resolve().parent.parent
RECORDS = ROOT / "benchmarks" / "records"

PROTOCOL = (
    "CIFAR-100 reduced to 16×16, 100 training images a class, resnet14x2 → resnet8, 30 epochs, tested on all "
    '10,000 test images. One seed unless "(n)" says otherwise: differences below about 1 point mean nothing. '
    "`crd` draws negatives of other classes, as its authors do; `crd_uniform` from all rows, as `wcord` does.\n"
)


def methods_table() -> str:
    lines = ["| method | what it is | weight | needs | from |", "|---|---|---|---|---|"]
    lines += [
        f"| `{name}` | {info.title} | {info.weight:g} | {info.needs} | {info.paper} {info.year} |"
        for name, info in METHODS.items()
    ]
    return "\n".join(lines) + "\n"


def results_table() -> str:
    records = [Record.from_json(path) for path in sorted((RECORDS / "mini").glob("*.json"))]
    records.sort(key=lambda record: (record.kind != "train", record.metrics["top1_last"]))
    return f"{PROTOCOL}\n{markdown([row for row in rows(records) if row.run != 'teacher' or not row.is_teacher])}"


def speed_table() -> str:
    parts = []
    for path in sorted((RECORDS / "speed").glob("*.json")):
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        columns = list(found["rows"][0])
        parts += [
            f"**{found['title']}** (`{found['command']}`; {found['cpu']}, torch {found['versions']['torch']})\n",
            f"| {' | '.join(columns)} |",
            "|" + "---|" * len(columns),
            *(f"| {' | '.join(_cell(row[c]) for c in columns)} |" for row in found["rows"]),
            "",
        ]
    return "\n".join(parts)


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else "" if value is None else str(value)


def fill(text: str, name: str, content: str) -> str:
    pattern = re.compile(rf"(<!-- {name}: begin[^>]*-->\n).*?(<!-- {name}: end -->)", re.DOTALL)
    return pattern.sub(lambda found: f"{found[1]}\n{content}\n{found[2]}", text)


def main() -> None:
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    for name, content in (("methods", methods_table()), ("results", results_table()), ("speed", speed_table())):
        text = fill(text, name, content)
    readme.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
