"""Pairs of the student's and the teacher's maps."""

from dataclasses import dataclass
from typing import Literal

from wcord.checks import DoesNotFitError
from wcord.methods.setting import Setting, Shape

Which = Literal["stages", "last", "all"]
"""stages: all but the stem; last: the deepest; all: the stem too."""


@dataclass(frozen=True)
class MapPair:
    """The maps of both networks that are compared, and their shapes without the batch."""

    student: str
    teacher: str
    student_shape: Shape
    teacher_shape: Shape


def map_pairs(name: str, setting: Setting, which: Which = "stages") -> list[MapPair]:
    """Pair the maps of both networks from the deepest up; if one network states more, its first ones are left out.

    Args:
        name: the method, for messages.
        setting: with the maps that the networks state, of which the first is the stem.
        which: the stages, the last map, or all maps.

    Raises:
        DoesNotFitError: if a network states no maps, or none of this kind.
    """
    student = _chosen(name, "student", list(setting.student_maps.items()), which)
    teacher = _chosen(name, "teacher", list(setting.teacher_maps.items()), which)
    count = min(len(student), len(teacher))
    return [
        MapPair(s, t, s_shape, t_shape)
        for (s, s_shape), (t, t_shape) in zip(student[-count:], teacher[-count:], strict=True)
    ]


def spatial_pairs(name: str, setting: Setting, which: Which = "stages") -> list[MapPair]:
    """Return the pairs of maps; raise if one is not channels × height × width.

    Raises:
        DoesNotFitError: if a network states no maps, or maps of tokens.
    """
    pairs = map_pairs(name, setting, which)
    for pair in pairs:
        for map_name, shape in ((pair.student, pair.student_shape), (pair.teacher, pair.teacher_shape)):
            if len(shape) != 3:
                raise DoesNotFitError(
                    f"{name} reads maps of channels × height × width, received {map_name!r} of shape {shape}: "
                    "name other maps, or use a method on embeddings or logits"
                )
    return pairs


def _chosen(name: str, role: str, maps: list[tuple[str, Shape]], which: Which) -> list[tuple[str, Shape]]:
    chosen = {"stages": maps[1:], "last": maps[-1:], "all": maps}[which]
    if not chosen:
        raise DoesNotFitError(
            f"{name} reads feature maps, but the {role} states {'only one' if maps else 'none'}: name its modules from "
            f"stem to last with --{role}-maps, or use a method on embeddings or logits"
        )
    return chosen
