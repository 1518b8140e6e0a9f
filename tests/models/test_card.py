import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wcord.checks import UsageError
from wcord.models.card import ModelCard, card_from_metadata

numbers = st.floats(allow_nan=False, allow_infinity=False)


@given(
    name=st.text(),
    classes=st.lists(st.text()),
    mean=st.lists(numbers),
    size=st.none() | st.tuples(st.integers(1, 999), st.integers(1, 999)),
    view=st.sampled_from(["", "gray,resize=8"]),
    record=st.none() | st.tuples(st.integers(1, 9), st.integers(1, 99), st.integers(1, 99)),
    crop=st.floats(0.01, 1),
    extra=st.dictionaries(st.text(), st.integers() | st.text() | st.none()),
    embedding=st.sampled_from(["", "layer3.0"]),
)
def test_round_trip(name, classes, mean, size, view, record, crop, extra, embedding):
    seen = (view, tuple(classes), record, crop)
    card = ModelCard(name, 7, 2, size, tuple(classes), tuple(mean), tuple(mean), *seen, extra, embedding)
    metadata = card.to_metadata()
    assert all(isinstance(key, str) and isinstance(value, str) for key, value in metadata.items())
    assert card_from_metadata(metadata) == card


def test_no_card():
    assert card_from_metadata(None) is None
    assert card_from_metadata({"format": "pt"}) is None


def test_a_later_version_may_say_more():
    text = json.dumps({"architecture": "resnet8", "num_classes": 3, "colour": "blue"})
    assert card_from_metadata({"wcord": text}) == ModelCard("resnet8", 3)


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"architecture": "a", "num_classes": "many"}'])
def test_damaged(text):
    with pytest.raises(UsageError, match="the model card is damaged"):
        card_from_metadata({"wcord": text})
