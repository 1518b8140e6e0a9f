"""TOML files of users: recipes and suites, as any editor saves them."""

import tomllib
from pathlib import Path
from typing import Any

from wcord.checks import UsageError, require_file


def read_toml(path: str | Path, what: str) -> dict[str, Any]:
    """Return what a TOML file holds; a byte order mark before it is passed over.

    Args:
        path: the file.
        what: what it is, for messages.

    Raises:
        UsageError: the file is missing, is not text in UTF-8, or not TOML.
    """
    content = require_file(path, what).read_bytes()
    try:
        return tomllib.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{what} {str(path)!r} is not text in UTF-8, from byte {error.start + 1} on: save it as UTF-8"
        ) from None
    except ValueError as error:  # of TOML, or of a number of many digits
        raise UsageError(f"{what} {str(path)!r} is not valid TOML: {error}") from None
    except RecursionError:
        raise UsageError(f"{what} {str(path)!r} is nested too deeply: write it flat") from None
