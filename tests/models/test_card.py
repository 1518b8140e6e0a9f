import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wcord.checks import UsageError
from wcord.models.card import EXTRA, ModelCard, card_from_metadata

numbers = st.floats(allow_nan=False, allow_infinity=False)


@given(
    name=st.text(st.characters(exclude_characters="\0"), max_size=99),
    classes=st.lists(st.text(), min_size=7, max_size=7) | st.just([]),
    mean=st.lists(numbers, min_size=2, max_size=2) | st.just([]),
    size=st.none() | st.tuples(st.integers(1, 999), st.integers(1, 999)),
    view=st.sampled_from(["", "gray,resize=8"]),
    record=st.none() | st.tuples(st.integers(1, 9), st.integers(1, 99), st.integers(1, 99)),
    crop=st.floats(0.01, 1),
    extra=st.dictionaries(st.text().filter(lambda key: key not in EXTRA), st.integers() | st.text() | st.none()),
    embedding=st.sampled_from(["", "layer3.0"]),
)
def test_round_trip(name, classes, mean, size, view, record, crop, extra, embedding):
    seen = (view, tuple(classes), record, crop)
    std = tuple(abs(value) + 1e-3 for value in mean)
    card = ModelCard(name, 7, 2, size, tuple(classes), tuple(mean), std, *seen, extra, embedding)
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


ONE = {"architecture": "resnet8", "num_classes": 3}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"num_classes": float("inf")}, "num_classes must be"),
        ({"num_classes": True}, "num_classes must be"),
        ({"num_classes": "3"}, "num_classes must be"),
        ({"num_classes": -1}, "num_classes must be"),
        ({"in_channels": 0}, "in_channels must be"),
        ({"image_size": [8]}, "image_size must be a list of 2, received"),
        ({"image_size": 8}, "image_size must be a list of 2, received"),
        ({"image_size": [8, 10**6]}, "image_size must be a whole number between 1 and 8192"),
        ({"record_shape": [3, 8]}, "record_shape must be a list of 3, received"),
        ({"classes": ["a", "b"]}, "classes has 2 entries, but num_classes is 3"),
        ({"classes": "abc"}, "classes must be a list"),
        ({"classes": [1, 2, 3]}, "classes must be text"),
        ({"mean": [0.5], "std": [0.5]}, "mean has 1 entries, but in_channels is 3"),
        ({"mean": [0.5] * 3, "std": []}, "mean and std go together"),
        ({"mean": [0.5] * 3, "std": [1e-45] * 3}, "std must be"),
        ({"mean": [float("nan")] * 3, "std": [1] * 3}, "mean must be"),
        ({"crop_fraction": 0}, "crop_fraction must be"),
        ({"view": ["gray"]}, "view must be text"),
        ({"architecture": None}, "architecture must be text"),
        ({"architecture": "a" * 10**6}, "architecture must be at most 1000 characters"),
        ({"extra": []}, "extra must be a table"),
        ({"extra": {"cut": 3}}, "extra.cut must be"),
        ({"extra": {"cut": {"split_seed": 0}}}, "extra.cut lacks holdout"),
        ({"extra": {"sounds": "no"}}, "extra.sounds must be"),
        ({"extra": {"categories": {"a": "b"}}}, "extra.categories"),
        ({"extra": {"top1_last": "high"}}, "extra.top1_last must be"),
    ],
)
def test_what_no_card_holds(change, reason):
    with pytest.raises(UsageError, match=reason) as caught:
        card_from_metadata({"wcord": json.dumps(ONE | change)})
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"extra": ' + '{"a":' * 100_000, '{"num_classes": ' + "9" * 9999 + "}"]
)
def test_text_that_no_parser_takes(text):
    with pytest.raises(UsageError, match="the model card is damaged"):
        card_from_metadata({"wcord": text})
