"""What a run's folder may not start by itself: code of the user's own, and trackers that send results elsewhere."""

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
"""Setting → those of its values that take consent."""


def needs_consent(config: TrainConfig | DistillConfig) -> Needs:
    """Return the settings of a run that name code of the user's own, or a tracker that starts a program.

    >>> needs_consent(TrainConfig(model="mypackage.nets:small", out=Path("run")))
    {'model': ('mypackage.nets:small',)}
    """
    roles = [name for name, affects in scopes(type(config)).items() if "code" in affects.facts]
    named = {role: getattr(config, role) for role in roles}
    needs: Needs = {role: (name,) for role, name in named.items() if is_own_code(name)}
    trackers = tuple(tracker for tracker in config.training.tracker if tracker not in LOCAL)
    return needs | ({"tracker": trackers} if trackers else {})


def require_consent(
    run: Path, config: TrainConfig | DistillConfig, named: Mapping[str, object], *, brought: Collection[str] = ()
) -> None:
    """Raise where a run would start what its folder alone names.

    Args:
        run: the run's folder.
        config: its settings, as the folder holds them.
        named: setting → what the user has named now: a network's name, or trackers; empty or None: nothing.
        brought: networks that the user brings as modules, so that their names build nothing.

    Raises:
        UsageError: something is not named, with the line that names it; or what is named is not the run's.
    """
    for setting, value in named.items():
        own = config.training.tracker if setting == "tracker" else getattr(config, setting, None)
        if value and value != own:
            raise UsageError(
                f"the run in {str(run)!r} {f'has {setting} {own}' if own else f'has no {setting}'}, received "
                f"--{setting} {_joined(value)}: a run keeps its settings when it is resumed"
            )
    needs = needs_consent(config)
    missing = [setting for setting in needs if setting not in brought and not named.get(setting)]
    if not missing:
        return
    name = _joined(needs[missing[0]])
    kind = "which starts a program" if missing[0] == "tracker" else "which is code of your own"
    raise UsageError(
        f"the run in {str(run)!r} has {missing[0]} {name}, {kind}: nothing is started only because a run's folder "
        f"names it. If you trust it, resume with: {resume_command(run, config)}"
    )


def require_same_code(run: Path, begun: TrainConfig | DistillConfig, today: TrainConfig | DistillConfig) -> None:
    """Raise where a run's folder names code, or trackers, that the settings of today do not name.

    Raises:
        UsageError: saying which.
    """
    now = needs_consent(today)
    for setting, names in needs_consent(begun).items():
        if names != now.get(setting):
            raise UsageError(
                f"the run in {str(run)!r} was begun with {setting} {_joined(names)}, which is not the suite's: nothing "
                "is started only because a run's folder names it. Remove the folder, or name another --out"
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
