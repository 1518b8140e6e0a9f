"""Fail if a page of the built site loads anything from elsewhere: python tools/check_site.py FOLDER."""

import re
import sys
from pathlib import Path

LOADS = re.compile(
    r"""<(?:script|img|iframe|source|video|audio|embed)\b[^>]*\bsrc=["']?(https?:[^"'\s>]+)"""
    r"""|<link\b(?=[^>]*\brel=["']?(?:stylesheet|preload|icon|preconnect|dns-prefetch))[^>]*\bhref=["']?(https?:[^"'\s>]+)"""
    r"""|url\(["']?(https?:[^"')]+)|@import\s+["'](https?:[^"']+)"""
)


def loaded(text: str) -> list[str]:
    """Return the addresses from which a page or a style sheet loads something; links to click are no such thing."""
    return [next(filter(None, match)) for match in LOADS.findall(text)]


def main(site: Path) -> int:
    pages = [path for path in site.rglob("*") if path.suffix in (".html", ".css")]
    bad = [(path, address) for path in pages for address in loaded(path.read_text(encoding="utf-8"))]
    for path, address in bad:
        print(f"{path} loads {address}")
    print(f"{site}: {len(pages)} pages and style sheets, {len(bad)} resources from elsewhere")
    return 1 if bad or not pages else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
