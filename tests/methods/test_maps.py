"""Which maps are compared."""

import pytest

from wcord.checks import UsageError
from wcord.methods.maps import MapPair, map_pairs, spatial_pairs
from wcord.methods.setting import Setting


def setting(student: dict[str, tuple[int, ...]], teacher: dict[str, tuple[int, ...]]) -> Setting:
    return Setting(4, 4, 2, 2, student_maps=student, teacher_maps=teacher)


THREE = {"stem": (2, 8, 8), "one": (3, 8, 8), "two": (5, 4, 4)}
FOUR = {"stem": (2, 8, 8), "a": (3, 8, 8), "b": (4, 8, 8), "c": (7, 2, 2)}


def test_stages_leave_the_stem_out_and_are_paired_from_the_deepest_up() -> None:
    pairs = map_pairs("at", setting(THREE, FOUR))
    assert pairs == [MapPair("one", "b", (3, 8, 8), (4, 8, 8)), MapPair("two", "c", (5, 4, 4), (7, 2, 2))]


def test_last_and_all() -> None:
    assert [(p.student, p.teacher) for p in map_pairs("sp", setting(THREE, FOUR), "last")] == [("two", "c")]
    pairs = map_pairs("fsp", setting(THREE, FOUR), "all")
    assert [(p.student, p.teacher) for p in pairs] == [("stem", "a"), ("one", "b"), ("two", "c")]


def test_networks_without_maps_are_refused() -> None:
    with pytest.raises(UsageError, match=r"at reads feature maps, but the teacher states none: .*--teacher-maps"):
        map_pairs("at", setting(THREE, {}))
    with pytest.raises(UsageError, match=r"the student states only one: .*--student-maps"):
        map_pairs("at", setting({"stem": (2, 8, 8)}, THREE))


def test_tokens_are_refused_where_height_and_width_count() -> None:
    tokens = {"stem": (9, 4), "block": (9, 4)}
    assert map_pairs("sp", setting(tokens, tokens), "last")[0].student_shape == (9, 4)
    with pytest.raises(UsageError, match=r"ft reads maps of channels × height × width, received 'block'"):
        spatial_pairs("ft", setting(tokens, THREE), "last")
