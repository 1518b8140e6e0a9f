"""Finds the splits and the classes in a folder, by the names with which data sets are published."""

import re
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from wcord.checks import UsageError
from wcord.data.names import listed
from wcord.data.walk import FileKind, Skipped, files_in, folders_in

ROLES = {
    "train": ("train", "training", "trainval", "trn"),
    "test": ("test", "testing", "holdout", "tst"),
    "eval": ("eval", "evaluation"),
    "val": ("val", "valid", "validation"),
    "dev": ("dev", "development"),
}
"""Split → names of its folder. In this order; the first usable one after train is the test split."""
_ROLE = {word: role for role, words in ROLES.items() for word in words}
_FILLING = [
    "set",
    "sets",
    "data",
    "dataset",
    "split",
    "images",
    "image",
    "imgs",
    "img",
    "pictures",
    "pics",
    "photos",
    "files",
    "folder",
    "audio",
    "sounds",
    "wav",
]
_GLUED = re.compile(f"({'|'.join(sorted(_ROLE, key=len, reverse=True))})({'|'.join(_FILLING)})?")
_WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")
DEEPEST = 4
"""How many folders that only hold another folder are entered."""

Splits = dict[str, list[Path]]
"""Split → candidate folders."""


@dataclass(frozen=True)
class Layout:
    """The folders of the splits.

    Attributes:
        train: with the class folders of the training samples, or all of them without classes.
        test: the same for the test samples, or None.
        notes: what a reader of the result should know about the choice.
    """

    train: Path
    test: Path | None
    notes: tuple[str, ...] = ()


def find_layout(root: Path, kind: FileKind, skipped: Skipped, *, labels: bool = True) -> Layout:
    """Find the splits in a folder, or some levels below it.

    Args:
        root: the folder.
        kind: of the files.
        skipped: counts of what is not read; they are increased.
        labels: whether there are class folders in the splits, or in `root` where it has none.

    Raises:
        UsageError: there is no train split beside other splits, or there are several; folders look like splits with
            unknown names.
    """
    top, inside = _entered(root, kind, labels=labels)
    splits, others = _splits(inside)
    notes = [f"the {kind.noun}s are read from {str(top)!r}"] if top != root else []
    if not splits.get("train"):
        if splits and not others:
            name = next(iter(splits.values()))[0].name
            raise UsageError(f"{kind.noun} folder {str(top)!r} has {name!r} but no 'train' folder: add one")
        if labels:
            notes += _class_notes(top, inside, kind)
        return Layout(top, None, tuple(notes))
    train = _one_train(splits["train"], top, kind)
    splits["train"] = [train, *(path for path in splits["train"] if path != train)]
    if labels and not folders_in(train) and others:  # trains as a class of vehicles
        notes.append(f"folder {train.name!r} holds {kind.noun}s and no class folders, so it is read as a class")
        notes += _class_notes(top, inside, kind)
        return Layout(top, None, tuple(notes))
    skipped.beside += len(files_in(top, kind, skipped))
    folders_in(top, skipped)
    train = _inner(train, kind) if labels else train
    if labels:
        notes += _class_notes(train, folders_in(train), kind, train=True)
    test, unread = _choose_test(splits, train, kind, labels=labels)
    beside = [*unread, *(repr(path.name) for path in others)]
    if beside:
        notes.append(f"folders beside {splits['train'][0].name!r} that are not read: {', '.join(beside)}")
    return Layout(train, test, tuple(notes))


def _entered(root: Path, kind: FileKind, *, labels: bool) -> tuple[Path, list[Path]]:
    """Return the first folder from `root` on that holds more than one folder, and the folders in it.

    Archives often unpack into a folder with their own name (dataset/dataset/train).
    """
    top, inside = root, folders_in(root)
    for _ in range(DEEPEST):
        if len(inside) != 1 or _splits(inside)[0] or files_in(top, kind, Skipped()) or not folders_in(inside[0]):
            break
        top, inside = inside[0], folders_in(inside[0])
    if not labels and not _splits(inside)[0].get("train"):  # files at any depth are read
        return root, folders_in(root)
    return top, inside


def find_split_files(folder: Path, files: list[Path], endings: str) -> tuple[dict[str, Path], tuple[str, ...]]:
    """Return the files of the splits "train" and, where there is one, "test", by their names; and a note on the others.

    Args:
        folder: of the files.
        files: the candidates.
        endings: for messages.

    Raises:
        UsageError: there is no train split, or a split has several files.
    """
    splits, _ = _splits(files)
    if not splits.get("train"):
        instead = f"; it holds {listed([path.name for path in files])}" if files else ""
        raise UsageError(f"table folder {str(folder)!r} needs a file train{endings}{instead}")
    serving = [role for role in ROLES if splits.get(role)][:2]
    chosen: dict[str, Path] = {}
    for split, role in zip(("train", "test"), serving, strict=False):
        exact = [path for path in splits[role] if path.stem == role] or splits[role]
        if len(exact) > 1:
            raise UsageError(
                f"table folder {str(folder)!r} has several files that may be its {split} split "
                f"({listed([path.name for path in exact])}): take all but one out"
            )
        chosen[split] = exact[0]
    unread = sorted(path.name for path in files if path not in chosen.values())
    used = f"{chosen['test'].name!r} is read as the test split"
    notes = [used] if "test" in chosen and chosen["test"].stem.lower() != "test" else []
    if unread:
        notes.append(f"files beside {chosen['train'].name!r} that are not read: {', '.join(map(repr, unread))}")
    return chosen, tuple(notes)


def _bare_name(path: Path) -> str:
    return path.name if path.is_dir() else path.stem


def _splits(folders: list[Path]) -> tuple[Splits, list[Path]]:
    """Return the folders (or files) with names of splits, and the others.

    A name may have further words if another name has the same ones: seg_train and seg_test, but not train_station. If
    there are several such words (trainA, testA, trainB, testB), all of them may be the splits.
    """
    by_words: dict[tuple[str, ...], Splits] = defaultdict(lambda: defaultdict(list))
    for path in folders:
        role, words = role_of(_bare_name(path))
        if role is not None:
            by_words[words][role].append(path)
    splits: Splits = by_words.get((), {})
    if "train" not in splits:
        several = [named for words, named in by_words.items() if words and "train" in named and len(named) > 1]
        for role in ROLES if several else ():
            splits[role] = [path for named in several for path in named.get(role, [])]
    chosen = {path for paths in splits.values() for path in paths}
    in_order = {role: splits[role] for role in ROLES if splits.get(role)}
    return in_order, [path for path in folders if path not in chosen]


def role_of(name: str) -> tuple[str | None, tuple[str, ...]]:
    """Return the split in a name, and the other words of the name."""
    roles, rest = [], []
    for word in (word.lower() for word in _WORDS.findall(name)):
        glued = _GLUED.fullmatch(word)
        if glued is not None:
            roles.append(_ROLE[glued.group(1)])
        elif word not in _FILLING:
            rest.append(word)
    return (roles[0], tuple(rest)) if len(roles) == 1 else (None, ())


def _one_train(candidates: list[Path], top: Path, kind: FileKind) -> Path:
    exact = [path for path in candidates if path.name.lower() == "train"] or candidates
    if len(exact) > 1:
        names = listed([path.name for path in exact])
        raise UsageError(
            f"{kind.noun} folder {str(top)!r} has several folders that may be the train split ({names}): rename one to "
            "'train', or take the others out"
        )
    return exact[0]


def _choose_test(splits: Splits, train: Path, kind: FileKind, *, labels: bool) -> tuple[Path | None, list[str]]:
    """Return the first usable test split, and the names of the others, with the reason."""
    classes = {path.name for path in folders_in(train)} if labels else set[str]()
    test, unread = None, [repr(path.name) for path in splits["train"][1:]]
    for path in (path for role in list(ROLES)[1:] for path in _exact_first(splits.get(role, []), role)):
        inner = _inner(path, kind, classes) if labels else path
        names = {folder.name for folder in folders_in(inner)} if labels else classes
        bare = labels and (not names or (len(names) == 1 and not names & classes))  # test/images/0.png
        if test is None and not bare:
            test = inner
        else:
            unread.append(f"{path.name!r} (it has no class folders)" if bare else repr(path.name))
    return test, unread


def _exact_first(paths: list[Path], role: str) -> list[Path]:
    """Return folders, those with the usual name of the split first."""
    words = ROLES[role]
    return sorted(paths, key=lambda path: words.index(path.name.lower()) if path.name.lower() in words else len(words))


def _inner(split: Path, kind: FileKind, classes: Collection[str] = ()) -> Path:
    """Return the folder of a split's class folders: itself, or the only folder in it (seg_train/seg_train)."""
    for _ in range(DEEPEST):
        inside = folders_in(split)
        if len(inside) != 1 or inside[0].name in classes or len(folders_in(inside[0])) < 2:
            break
        if files_in(split, kind, Skipped()) or files_in(inside[0], kind, Skipped()):
            break
        split = inside[0]
    return split


def _class_notes(top: Path, inside: list[Path], kind: FileKind, *, train: bool = False) -> list[str]:
    """Return a note if the classes may be splits or kinds of data: they hold folders with the same names.

    Args:
        top: the folder of the classes.
        inside: the folders in it.
        kind: of the files.
        train: whether `top` is a train split by its name: the folders in it are classes, unless they hold splits.

    Raises:
        UsageError: they hold splits, or clearly are splits.
    """
    below = {path: folders_in(path) for path in inside}
    _refuse_splits_inside(top, below)
    names_in = {path: {folder.name for folder in folders} for path, folders in below.items() if folders}
    shared = set.intersection(*names_in.values()) if len(names_in) > 1 else set[str]()
    most = len(shared) > 1 and 2 * len(names_in) > len(inside)
    if most and not train and not all(files_in(path, kind, Skipped()) for path in names_in):
        raise UsageError(
            f"folders {listed([path.name for path in names_in])} in {str(top)!r} hold folders of the same names "
            f"({listed(sorted(shared))}), so they look like splits and not like classes: rename them to 'train' and "
            "'test' or, if they are the classes, move them into a folder called 'train'"
        )
    common = _common(names_in)
    if not common:
        return []
    holders = listed([path.name for path, names in names_in.items() if names & common])
    return [
        f"class folders {holders} hold folders of the same names ({listed(sorted(common))}), which are read as parts "
        "of the outer ones: if they are the classes, name one of the outer folders as the data"
    ]


def _common(names_in: dict[Path, set[str]]) -> set[str]:
    """Return the names of the folders in those folders whose every folder has a namesake in another one.

    Uninformative names (n01/images, n02/images) are ignored.
    """
    common: set[str] = set()
    for path, names in names_in.items():
        others = {name for other, inside in names_in.items() if other != path for name in inside}
        common |= names if names <= others else set()
    return {name for name in common if name.lower() not in _FILLING}


def _refuse_splits_inside(top: Path, below: dict[Path, list[Path]]) -> None:
    """Raise if a class folder holds splits."""
    for path, folders in below.items():
        splits = _splits(folders)[0]
        if len(splits) < 2:
            continue
        names = [paths[0].name for paths in splits.values()]
        problem = f"class folder {path.name!r} in {str(top)!r} holds folders with names of splits ({listed(names)})"
        if any(folders_in(inner) for paths in splits.values() for inner in paths):
            raise UsageError(f"{problem}: if its splits are the data, name {str(path)!r}; if not, take it out")
        first = ", ".join(f"{name}/{path.name}" for name in names[:2])
        raise UsageError(f"{problem}: put the splits first and the classes into them ({first}, …)")
