"""Files of model hubs: from the local cache, else downloaded; one line if they are not available."""

import difflib
import os
import socket
from collections.abc import Iterable, Sequence
from pathlib import Path
from urllib.parse import urlparse

from wcord.checks import UsageError
from wcord.own_code import of_own_code, said_by


def hub_file(name: str, repository: str, files: Sequence[str]) -> Path:
    """Return a file of a Hugging Face repository: from the cache, else downloaded.

    Args:
        name: of the network, for messages.
        repository: `owner/name`, with an optional `@revision`.
        files: possible names, the preferred one first.

    Raises:
        UsageError: it is neither in the cache nor can it be downloaded.
    """
    from huggingface_hub import constants, hf_hub_download, try_to_load_from_cache
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    repo, _, revision = repository.partition("@")
    folder = Path(constants.HF_HUB_CACHE) / f"models--{repo.replace('/', '--')}"
    where = f"{files[0]} of {repo} on the Hugging Face hub"
    place = f"run `hf download {repo}` where there is a connection, and copy its folder to {str(folder)!r}"
    try:
        cached = (try_to_load_from_cache(repo, file, revision=revision or None) for file in files)
        path = next((path for path in cached if isinstance(path, str)), None)
        if path is not None:
            return Path(path)
        if not _reachable(constants.ENDPOINT):
            raise _unavailable(name, where, "there is no connection", place)
        for file in files:
            try:
                return Path(hf_hub_download(repo, file, revision=revision or None))
            except LocalEntryNotFoundError:
                raise
            except EntryNotFoundError:
                continue
        raise _unavailable(name, where, f"the repository has no {' or '.join(files)}", "name another")
    except UsageError:
        raise
    except Exception as error:  # of the hub's client, of its network library, of the disk
        raise _unavailable(name, where, _first_line(error), place) from error


def torch_file(name: str, url: str) -> Path:
    """Return a file of torch's hub: from the cache, else downloaded.

    Args:
        name: of the network, for messages.
        url: of the file.

    Raises:
        UsageError: it is neither in the cache nor can it be downloaded.
    """
    from torch import hub

    path = Path(hub.get_dir()) / "checkpoints" / Path(urlparse(url).path).name
    if path.is_file():
        return path
    place = f"download it elsewhere and save it as {str(path)!r}"
    if not _reachable(url):
        raise _unavailable(name, url, "there is no connection", place)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        hub.download_url_to_file(url, str(path), progress=False)
    except Exception as error:  # of urllib, of the network, of the disk
        raise _unavailable(name, url, _first_line(error), place) from error
    return path


def unknown_network(source: str, name: str, known: Iterable[str]) -> UsageError:
    """Return the error for a name that is unknown to a library, with the nearest names only."""
    options = list(known)
    near = difflib.get_close_matches(name, options, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(f'{source}:{option}' for option in near)}?" if near else "check the spelling"
    return UsageError(f"{source} has no network {name!r} (it has {len(options)}): {hint}")


def cannot_build(name: str, error: BaseException) -> UsageError:
    """Return the error for a network whose code fails, or ends the program."""
    return UsageError(f"model {name!r} could not be built: {of_own_code(error) or said_by(error)}")


def cannot_load(name: str, path: Path, error: Exception) -> UsageError:
    """Return the error for a file of a hub that cannot be read, or does not fit its network."""
    return UsageError(
        f"the weights of {name!r} in {str(path)!r} are damaged or of another network ({_first_line(error)}): delete "
        "the file and fetch it again"
    )


def _reachable(url: str) -> bool:
    """Return whether a host can be resolved; the hub's client would try for half a minute."""
    behind_proxy = any(os.environ.get(name) for name in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"))
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        return False
    try:
        return behind_proxy or bool(socket.getaddrinfo(urlparse(url).hostname, 443))
    except OSError:
        return False


def _unavailable(name: str, where: str, why: str, how: str) -> UsageError:
    return UsageError(f"the weights of {name!r} are not on this machine and cannot be fetched ({why}): {where}; {how}")


def _first_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
