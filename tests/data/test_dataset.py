"""A data set is seen through a view, in a network's channels and beside the teacher's, and says what is seen."""

from dataclasses import replace

import numpy as np
import pytest

from wcord.checks import UsageError
from wcord.data.config import DataConfig
from wcord.data.opening import from_arrays, open_data
from wcord.data.pairing import TEST_UNSEEN
from wcord.data.split import none_like


def test_a_data_set_is_seen_through_a_view_and_beside_another() -> None:
    data = open_data(DataConfig())
    both = data.through("resize=4").beside(data)
    assert (both.train.shape, both.of_teacher.train.shape) == ((1, 4, 4), (1, 8, 8))
    assert both.train.base is both.of_teacher.train
    fewer = open_data(DataConfig(subset=10.0))
    with pytest.raises(UsageError, match="must see the same samples, received 1438 and 100"):
        data.beside(fewer)
    assert data.beside(fewer, by_label=True).partner("train") is not None
    with pytest.raises(UsageError, match="need the same classes in the same order"):
        data.beside(open_data(DataConfig(data="sklearn:iris")), by_label=True)
    pixels = np.zeros((20, 8, 8), np.uint8)
    turned = from_arrays(pixels, [0, 1] * 10, pixels[:4], [0, 1] * 2)
    other = from_arrays(pixels, [1, 0] * 10, pixels[:4], [1, 0] * 2)
    told = [f"{count} of {count} {name} pairs have different labels" for name, count in (("train", 20), ("test", 4))]
    assert [note.partition(":")[0] for note in turned.beside(other).notes[-2:]] == told
    assert turned.beside(turned).notes == turned.notes
    unmeasured = replace(turned, test=none_like(turned.test))
    assert turned.beside(unmeasured).notes == (*turned.notes, TEST_UNSEEN)
    with pytest.raises(UsageError, match="must see the same samples"):
        unmeasured.beside(turned)


@pytest.mark.parametrize(
    ("config", "told"),
    [
        (DataConfig(), "1×8×8 pixels"),
        (DataConfig(view="resize=4"), "resize=4, 1×4×4 pixels"),
        (DataConfig(data="sklearn:iris"), "4 columns"),
    ],
)
def test_what_is_seen_is_said_in_words(config: DataConfig, told: str) -> None:
    assert open_data(config).seen == told


def test_pictures_are_shown_in_the_channels_of_a_network() -> None:
    data = open_data(DataConfig())
    assert data.in_channels(1) is data
    colored = data.in_channels(3)
    assert (colored.train.shape, colored.test.shape) == ((3, 8, 8), (3, 8, 8))


def test_without_a_teacher_of_its_own_both_see_the_same() -> None:
    data = open_data(DataConfig())
    assert data.of_teacher is data
    assert data.partner("train") is None
    paired = data.beside(data.through("resize=4"), shared=False)
    partner = paired.partner("test")
    assert partner is not None
    assert (partner.pairs, partner.split.shape) == ("separate", (1, 4, 4))


def test_names_that_no_file_can_hold_are_refused() -> None:
    data = open_data(DataConfig())
    with pytest.raises(UsageError, match="is not valid UTF-8"):
        replace(data, name="a\ud800")
