import pytest

from wcord.models.stated import Stated, imagenet_names

SHORT, SYNSETS, FULL = imagenet_names()


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        (["n01440764", "n02102040"], SYNSETS),
        (["tench", "English springer"], SHORT),
        (["English_springer", "golden_retriever"], tuple(name.replace(" ", "_") for name in SHORT)),
        (["tench, Tinca tinca"], FULL),
        (["nothing of the kind"], SHORT),
    ],
)
def test_imagenet_is_named_as_the_data_name_it(own, expected):
    assert Stated(1000, names=SHORT).classes_like(own) == expected
    assert len(Stated(1000).classes_like(own)) == 1000


def test_other_classes_keep_their_names():
    assert Stated(2, names=("a b", "c")).classes_like(["c"]) == ("a b", "c")
    assert Stated(2).classes_like(["a"]) == ()
