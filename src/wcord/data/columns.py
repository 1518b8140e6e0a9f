"""Which columns of a table are the image and the label."""

from collections.abc import Sequence

import datasets
from datasets import ClassLabel, Features, Value

from wcord.checks import UsageError, unknown
from wcord.data.label_values import LABEL_NAMES


def image_column(features: Features, chosen: Sequence[str]) -> str:
    """Return the image column: the one asked for, else the only one.

    Raises:
        UsageError: there is none, or there are several.
    """
    if len(chosen) > 1:
        raise UsageError(f"one image column can be seen, received {' and '.join(chosen)}: choose one of them")
    if chosen:
        return _existing("image", features, chosen[0])
    found = [name for name, feature in features.items() if _is_image(feature)]
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError(f"the data has several image columns, choose one: --input {' | '.join(found)}")
    raise UsageError(f"the data has no image column; its columns: {', '.join(features)}")


def label_column(features: Features, chosen: str | None, image: str) -> str:
    """Return the label column: the one asked for, else the only one that holds classes.

    Columns declared as class labels come first; where there are none, whole numbers, truth values and text; else the
    one that is called a label.

    Raises:
        UsageError: there is none, or there are several.
    """
    if chosen is not None:
        return _existing("label", features, chosen)
    declared = [name for name, feature in features.items() if isinstance(feature, ClassLabel)]
    found = declared or [name for name, feature in features.items() if name != image and _could_be_label(feature)]
    named = [name for name in found if name.lower() in LABEL_NAMES]
    if len(found) == 1 or (len(named) == 1 and not declared):
        return (named or found)[0]
    if found:
        raise UsageError(f"the data has several label columns, choose one: --label {' | '.join(found)}")
    # Of fractions, or several a sample: what is wrong with them is said where labels are numbered.
    named = [name for name in features if name != image and name.lower() in LABEL_NAMES]
    if len(named) == 1:
        return named[0]
    raise UsageError(f"the data has no label column; its columns: {', '.join(features)}")


def require_column(features: Features, name: str) -> None:
    """Raise unless the table has a column."""
    _existing("table", features, name)


def class_names(features: Features, label: str) -> list[str] | None:
    """Return the names that the table declares for its classes, if it does."""
    feature = features[label]
    return list(feature.names) if isinstance(feature, ClassLabel) else None


def _existing(kind: str, features: Features, chosen: str) -> str:
    if chosen not in features:
        raise unknown(f"{kind} column", chosen, features)
    return chosen


def _is_image(feature: object) -> bool:
    """Tell an image column, also in a file without the hub's metadata: raw bytes, or bytes beside a path."""
    if isinstance(feature, dict):
        return set(feature) == {"bytes", "path"}
    return isinstance(feature, datasets.Image) or (isinstance(feature, Value) and "binary" in feature.dtype)


def _could_be_label(feature: object) -> bool:
    return isinstance(feature, Value) and (
        feature.dtype.startswith(("int", "uint", "bool")) or "string" in feature.dtype
    )
