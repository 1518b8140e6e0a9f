"""Names that earlier versions had in `wcord.data.sources` are forwarded with a warning."""

import pytest

import wcord.data
from wcord.data import sources


@pytest.mark.parametrize("name", ["from_arrays", "open_data"])
def test_moved_names_are_forwarded(name: str) -> None:
    with pytest.warns(DeprecationWarning, match=f"import {name} from wcord.data"):
        assert getattr(sources, name) is getattr(wcord.data, name)


def test_other_names_are_missing() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'datas'"):
        sources.datas  # noqa: B018  # reading it is the test
