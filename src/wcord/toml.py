"""TOML files of users: recipes and suites, with or without a byte order mark."""

import tomllib
from pathlib import Path
from typing import Any

from wcord.checks import UsageError
from wcord.paths import require_file


def read_toml(path: str | Path, what: str) -> dict[str, Any]:
    """Return the contents of a TOML file; a leading byte order mark is ignored.

    Args:
        path: the file.
        what: its description, for messages.

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
    except ValueError as error:  # not TOML, or a number of too many digits
        raise UsageError(f"{what} {str(path)!r} is not valid TOML: {error}") from None
    except RecursionError:
        raise UsageError(f"{what} {str(path)!r} is nested too deeply: write it flat") from None
