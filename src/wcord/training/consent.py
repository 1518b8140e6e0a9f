"""What a run's folder may not start by itself: the user's code, and trackers that send results elsewhere."""

import shlex
from collections.abc import Collection, Mapping
from pathlib import Path

from wcord.checks import UsageError
from wcord.models.weights import is_own_code
from wcord.scope import scopes
from wcord.training.config import DistillConfig, TrainConfig

LOCAL = ("tensorboard",)
"""Trackers that only write files."""

Needs = dict[str, tuple[str, ...]]
"""Setting → its values that need consent."""


def needs_consent(config: TrainConfig | DistillConfig) -> Needs:
    """Return the settings of a run that name the user's code, or a tracker that starts a program.

    >>> needs_consent(TrainConfig(model="mypackage.nets:small", out=Path("run")))
    {'model': ('mypackage.nets:small',)}
    """
    roles = [name for name, affects in scopes(type(config)).items() if "code" in affects.facts]
    named = {role: getattr(config, role) for role in roles}
    needs: Needs = {role: (name,) for role, name in named.items() if is_own_code(name)}
    trackers = tuple(tracker for tracker in config.training.tracker if tracker not in LOCAL)
    return needs | ({"tracker": trackers} if trackers else {})


def require_consent(
    run: Path, config: TrainConfig | DistillConfig, named: Mapping[str, object], *, provided: Collection[str] = ()
) -> None:
    """Raise if a run would start code or a tracker that only its folder names.

    Args:
        run: the run's folder.
        config: its settings, as the folder holds them.
        named: setting → what the user names in this call: a network, or trackers; empty or None: nothing.
        provided: networks that the user passes as modules, so that their names build nothing.

    Raises:
        UsageError: code or a tracker is not named (the message gives the command that names it), or another is named.
    """
    for setting, value in named.items():
        saved = config.training.tracker if setting == "tracker" else getattr(config, setting, None)
        if value and value != saved:
            raise UsageError(
                f"the run in {str(run)!r} {f'has {setting} {saved}' if saved else f'has no {setting}'}, received "
                f"--{setting} {_joined(value)}: a run keeps its settings when it is resumed"
            )
    needs = needs_consent(config)
    missing = [setting for setting in needs if setting not in provided and not named.get(setting)]
    if not missing:
        return
    name = _joined(needs[missing[0]])
    kind = "which starts a program" if missing[0] == "tracker" else "which is your own code"
    raise UsageError(
        f"the run in {str(run)!r} has {missing[0]} {name}, {kind}: a run's folder alone starts neither. "
        f"If you trust it, resume with: {resume_command(run, config)}"
    )


def require_same_code(run: Path, saved: TrainConfig | DistillConfig, current: TrainConfig | DistillConfig) -> None:
    """Raise if a run's folder names code, or trackers, that the current settings do not name.

    Raises:
        UsageError: it does.
    """
    current_needs = needs_consent(current)
    for setting, names in needs_consent(saved).items():
        if names != current_needs.get(setting):
            raise UsageError(
                f"the run in {str(run)!r} began with {setting} {_joined(names)}, which is not the suite's: a run's "
                "folder alone starts no code. Remove the folder, or name another --out"
            )


def resume_command(run: Path, config: TrainConfig | DistillConfig) -> str:
    """Return the whole command line that resumes a run.

    >>> resume_command(Path("my runs/a"), TrainConfig(model="mypackage.nets:small", out=Path("run")))
    "wcord train --resume 'my runs/a' --model mypackage.nets:small"
    """
    command = "train" if isinstance(config, TrainConfig) else "distill"
    named = [part for setting, names in needs_consent(config).items() for part in (f"--{setting}", *names)]
    return shlex.join(["wcord", command, "--resume", str(run), *named])


def _joined(names: object) -> str:
    return names if isinstance(names, str) else " ".join(map(str, names)) if isinstance(names, Collection) else ""
