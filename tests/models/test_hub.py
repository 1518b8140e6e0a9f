import pytest
import torch

from wcord.checks import UsageError
from wcord.models import hub as hubs


def test_a_file_in_the_cache_needs_no_connection(put_in_hub):
    folder = put_in_hub("someone/net", {"config.json": {"a": 1}})
    assert hubs.hub_file("net", "someone/net", ["model.bin", "config.json"]) == folder / "config.json"


@pytest.mark.parametrize("repository", ["someone/net", "net", "someone/net@v2"])
def test_where_to_put_what_is_missing(hub, repository):
    with pytest.raises(
        UsageError, match=r"weights of 'net' are not on this machine .* no connection\): a.bin of"
    ) as caught:
        hubs.hub_file("net", repository, ["a.bin"])
    assert str(hub / "models--") in str(caught.value)


@pytest.mark.parametrize("error", [OSError("disk"), ValueError("name"), RuntimeError("401\nUnauthorized")])
def test_whatever_the_client_says_becomes_one_line(hub, monkeypatch, error):
    def fail(*args, **named):
        raise error

    monkeypatch.setattr("huggingface_hub.hf_hub_download", fail)
    monkeypatch.setattr(hubs, "_reachable", lambda url: True)
    with pytest.raises(UsageError, match="cannot be fetched") as caught:
        hubs.hub_file("net", "someone/net", ["a.bin"])
    assert "\n" not in str(caught.value)
    monkeypatch.setattr("torch.hub.download_url_to_file", fail)
    with pytest.raises(UsageError, match=r"cannot be fetched .*https://example.org/a.pth; .*checkpoints/a.pth'"):
        hubs.torch_file("net", "https://example.org/a.pth")


def test_torch_looks_into_its_own_cache(hub):
    path = hub.parent / "torch" / "hub" / "checkpoints" / "a.pth"
    path.parent.mkdir(parents=True)
    torch.save({}, path)
    assert hubs.torch_file("net", "https://example.org/models/a.pth") == path
