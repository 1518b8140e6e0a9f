import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image
from pyarrow.parquet import read_table
from safetensors import safe_open
from torch import nn

from wcord.checks import RunError, UsageError
from wcord.models.card import ModelCard
from wcord.models.create import create_model
from wcord.models.network import Network, unwrap
from wcord.models.preprocess import Preprocess
from wcord.models.weights import digest, load_weights, open_network, read_card, save_weights

REAL = Path(__file__).parents[2].parent / "shared" / "data"
MEAN, STD = (0.5070, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)
CARD = ModelCard("resnet8", 10, image_size=(32, 32), classes=tuple("abcdefghij"), mean=MEAN, std=STD, extra={"top1": 9})


def same(first, second):
    a, b = unwrap(first).state_dict(), unwrap(second).state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


@pytest.fixture
def network():
    return create_model("resnet8", num_classes=10)


class TestLoad:
    def test_returns_the_model_with_the_weights(self, network, tmp_path):
        torch.save(
            {"model": {f"module.{key}": value for key, value in network.state_dict().items()}}, tmp_path / "a.pth"
        )
        other = create_model("resnet8", num_classes=10)
        assert load_weights(other, tmp_path / "a.pth") is other
        assert same(other, network)

    def test_counters_may_be_missing(self, network, tmp_path):
        state = {key: value for key, value in network.state_dict().items() if "num_batches" not in key}
        torch.save(state, tmp_path / "a.pth")
        assert same(load_weights(create_model("resnet8", num_classes=10), tmp_path / "a.pth"), network)

    def test_goes_into_what_is_wrapped(self, network, tmp_path):
        save_weights(network, tmp_path / "a.safetensors")
        wrapped = Network(create_model("resnet8", num_classes=10), Preprocess(MEAN, STD))
        assert load_weights(wrapped, tmp_path / "a.safetensors") is wrapped
        assert same(wrapped, network)

    def test_another_class_count_is_named(self, network, tmp_path):
        torch.save(network.state_dict(), tmp_path / "a.pth")
        other = create_model("resnet8", num_classes=100)
        before = {key: value.clone() for key, value in other.state_dict().items()}
        message = r"2 of another shape \(fc.weight \(10, 64\) where the network has \(100, 64\), .*num_classes=10"
        with pytest.raises(UsageError, match=message):
            load_weights(other, tmp_path / "a.pth")
        assert all(torch.equal(before[key], value) for key, value in other.state_dict().items())

    def test_weights_of_another_network_are_told_by_their_keys(self, network, tmp_path):
        torch.save(network.state_dict(), tmp_path / "a.pth")
        with pytest.raises(UsageError, match=r"\d+ missing \(.* and \d+ more\); .*unexpected.*another architecture"):
            load_weights(create_model("vgg8", num_classes=10), tmp_path / "a.pth")
        with pytest.raises(UsageError, match=r"missing .*layer1.1") as caught:
            load_weights(create_model("resnet20", num_classes=10), tmp_path / "a.pth")
        assert len(str(caught.value)) < 600
        with pytest.raises(UsageError, match=r"of another shape .* and \d+ more\); are they of another architecture"):
            load_weights(create_model("resnet8x2", num_classes=10), tmp_path / "a.pth")

    def test_a_tied_tensor_may_be_saved_once(self, tmp_path):
        def tied():
            layers = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False))
            layers[1].weight = layers[0].weight
            return layers

        network = tied()
        torch.save({"0.weight": network[0].weight.detach()}, tmp_path / "a.pth")
        assert same(load_weights(tied(), tmp_path / "a.pth"), network)
        save_weights(network, tmp_path / "b.safetensors")
        assert same(load_weights(tied(), tmp_path / "b.safetensors"), network)

    def test_missing_file(self, network):
        with pytest.raises(UsageError, match=r"weights file 'nowhere.pth' does not exist"):
            load_weights(network, "nowhere.pth")


class TestFilesOfTheField:
    def test_the_moving_average_is_told_and_taken_when_asked_for(self, network, tmp_path):
        raw, average = create_model("resnet8", num_classes=10), network
        torch.save({"model": raw.state_dict(), "model_ema": average.state_dict()}, tmp_path / "a.pth")
        lines = []
        loaded = load_weights(create_model("resnet8", num_classes=10), tmp_path / "a.pth", say=lines.append)
        assert same(loaded, raw)
        assert len(lines) == 1
        assert "'model_ema'), which --ema-weights takes" in lines[0]
        loaded = load_weights(create_model("resnet8", num_classes=10), tmp_path / "a.pth", ema=True, say=lines.append)
        assert same(loaded, average)
        assert "the moving average ('model_ema') is loaded" in lines[1]

    def test_an_averaged_model_loads_without_a_word(self, network, tmp_path, capsys):
        torch.save(torch.optim.swa_utils.AveragedModel(network).state_dict(), tmp_path / "a.pth")
        assert same(load_weights(create_model("resnet8", num_classes=10), tmp_path / "a.pth"), network)
        assert capsys.readouterr().out == ""

    def test_what_is_left_out_is_told(self, network, tmp_path, capsys):
        state = {f"model.{key}": value for key, value in network.state_dict().items()}
        torch.save({"state_dict": state | {"val_acc.tp": torch.zeros(4)}}, tmp_path / "a.pth")
        assert same(load_weights(create_model("resnet8", num_classes=10), tmp_path / "a.pth"), network)
        assert "also holds what is not the network's, which is left out: val_acc.tp" in capsys.readouterr().out

    @pytest.mark.parametrize("name", ["resnet8", "vgg8", "torchvision:squeezenet1_1", "timm:test_vit"])
    def test_a_new_head(self, name, tmp_path):
        theirs, own = create_model(name, num_classes=10), create_model(name, num_classes=3)
        before = {key: value.clone() for key, value in own.state_dict().items()}
        torch.save(theirs.state_dict(), tmp_path / "a.pth")
        lines = []
        load_weights(own, tmp_path / "a.pth", head="new", say=lines.append)
        assert len(lines) == 1
        assert "weights for 10 classes: the body is loaded, and the head is new" in lines[0]
        for key, value in own.state_dict().items():
            theirs_too = theirs.state_dict()[key]
            assert torch.equal(value, theirs_too if theirs_too.shape == value.shape else before[key])

    def test_a_new_head_is_for_the_same_body_alone(self, tmp_path):
        torch.save(create_model("resnet14", num_classes=10).state_dict(), tmp_path / "a.pth")
        with pytest.raises(UsageError, match="do not fit the network"):
            load_weights(create_model("resnet8", num_classes=3), tmp_path / "a.pth", head="new")

    @pytest.mark.parametrize("name", ["resnet8", "timm:test_vit", "timm:test_convnext", "torchvision:mnasnet0_5"])
    def test_weights_without_a_head(self, name, tmp_path):
        bare = create_model(name, num_classes=0)
        torch.save(bare.state_dict(), tmp_path / "a.pth")
        with pytest.raises(UsageError, match="missing"):
            load_weights(create_model(name, num_classes=3), tmp_path / "a.pth")
        lines = []
        found = load_weights(create_model(name, num_classes=3), tmp_path / "a.pth", head="optional", say=lines.append)
        assert same(found, bare)
        assert "holds no head: the network gives features and no logits" in lines[0]
        load_weights(create_model(name, num_classes=3), tmp_path / "a.pth", head="new", say=lines.append)
        assert "without a head that fits: the body is loaded, and the head is new" in lines[1]

    def test_a_head_of_another_kind_is_none(self, tmp_path):
        state = create_model("resnet8", num_classes=0).state_dict()
        projection = {"fc.0.weight": torch.ones(64, 64), "fc.2.weight": torch.ones(16, 64)}
        moco = {f"module.encoder_q.{key}": value for key, value in (state | projection).items()}
        torch.save({"state_dict": moco | {"module.queue": torch.zeros(4)}}, tmp_path / "a.pth")
        network = create_model("resnet8", num_classes=3)
        assert load_weights(network, tmp_path / "a.pth", head="optional").state_dict().keys() == state.keys()

    def test_the_head_of_the_file_is_left_out(self, network, tmp_path):
        torch.save(network.state_dict(), tmp_path / "a.pth")
        bare = load_weights(create_model("resnet8", num_classes=0), tmp_path / "a.pth", head="left")
        assert torch.equal(bare.state_dict()["conv1.weight"], network.state_dict()["conv1.weight"])


class TestSave:
    def test_round_trip_with_card(self, network, tmp_path):
        path = tmp_path / "new" / "folder" / "a.safetensors"
        save_weights(Network(network, Preprocess(MEAN, STD)), path, card=CARD)
        assert read_card(path) == CARD
        assert same(load_weights(create_model("resnet8", num_classes=10), path), network)
        with safe_open(path, "pt") as file:
            assert set(file.keys()) == set(network.state_dict())
        assert [item.name for item in path.parent.iterdir()] == ["a.safetensors"]

    def test_views_of_one_memory_are_written_whole(self, tmp_path):
        module = nn.Module()
        memory = torch.arange(6.0)
        module.register_buffer("first", memory[:4])
        module.register_buffer("second", memory[2:])
        module.register_buffer("turned", memory.view(2, 3).t())
        save_weights(module, tmp_path / "a.safetensors")
        with safe_open(tmp_path / "a.safetensors", "pt") as file:
            assert file.get_tensor("second").tolist() == [2, 3, 4, 5]
            assert file.get_tensor("turned").tolist() == [[0, 3], [1, 4], [2, 5]]

    def test_a_full_disk_leaves_the_old_file(self, network, tmp_path, monkeypatch):
        path = tmp_path / "a.safetensors"
        save_weights(network, path)
        old = path.read_bytes()

        def full(descriptor):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("os.fsync", full)
        with pytest.raises(RunError, match=r"cannot write .*\(No space left on device\): free some space"):
            save_weights(create_model("resnet14"), path)
        assert path.read_bytes() == old
        assert [item.name for item in tmp_path.iterdir()] == ["a.safetensors"]

    def test_a_folder_that_cannot_be(self, network, tmp_path):
        (tmp_path / "file").touch()
        with pytest.raises(RunError, match="cannot write"):
            save_weights(network, tmp_path / "file" / "a.safetensors")


class TestReadCard:
    def test_none_where_there_is_none(self, network, tmp_path):
        save_weights(network, tmp_path / "a.safetensors")
        torch.save(network.state_dict(), tmp_path / "a.pth")
        assert read_card(tmp_path / "a.safetensors") is None
        assert read_card(tmp_path / "a.pth") is None

    def test_damaged(self, tmp_path):
        (tmp_path / "a.safetensors").write_bytes(b"12345")
        with pytest.raises(UsageError, match=r"is truncated, damaged"):
            read_card(tmp_path / "a.safetensors")


class TestDamage:
    @pytest.mark.parametrize("what", ["a value", "the card", "a name", "a shape", "a checksum", "an end", "a key"])
    def test_shows_whichever_byte_is_changed(self, network, tmp_path, what):
        path = tmp_path / "a.safetensors"
        save_weights(network, path, card=CARD)
        content = bytearray(path.read_bytes())
        places = {
            "a value": len(content) - 1001,
            "the card": content.index(b"num_classes") + 16,
            "a name": content.index(b"conv1.weight") + 3,
            "a shape": content.index(b'"shape":[') + 9,
            "a checksum": content.index(b"sha256_tensors") + 20,
            "an end": content.index(b"data_offsets") + 17,
            "a key": content.index(b"sha256_metadata"),
        }
        content[places[what]] ^= 1
        path.write_bytes(content)
        for read in (lambda: load_weights(create_model("resnet8", num_classes=10), path), lambda: open_network(path)):
            with pytest.raises(UsageError, match=r"a.safetensors' is truncated, damaged or no weights file \("):
                read()

    def test_files_of_earlier_versions_are_read(self, network, tmp_path):
        metadata = {"format": "pt"} | CARD.to_metadata()
        safetensors.torch.save_file(network.state_dict(), tmp_path / "old.safetensors", metadata)
        save_weights(network, tmp_path / "new.safetensors", card=CARD)
        assert same(open_network(tmp_path / "old.safetensors").backbone, network)
        assert digest(tmp_path / "old.safetensors") == digest(tmp_path / "new.safetensors")


STRANGE = {
    "sparse": (lambda value: value.to_sparse(), "fc.weight' sparse or nested"),
    "meta": (lambda value: value.to("meta"), "fc.weight' without its values"),
    "quantized": (lambda value: torch.quantize_per_tensor(value, 0.1, 0, torch.qint8), "fc.weight' quantized"),
    "nan": (lambda value: value * float("nan"), "hold NaN or infinity in fc.weight"),
    "whole numbers": (lambda value: value.to(torch.int8), "another kind of numbers in 'fc.weight': int8 where"),
    "complex": (lambda value: value.to(torch.complex64), "another kind of numbers in 'fc.weight': complex64 where"),
    "repeated": (lambda value: torch.zeros(1).expand(10**7), "fc.weight' as one value repeated to shape"),
    "another shape": (lambda value: value[:, :3], "do not fit the network"),
}


@pytest.mark.filterwarnings("ignore")  # quantized tensors go away in a later PyTorch
@pytest.mark.parametrize("what", STRANGE)
@pytest.mark.parametrize("head", ["kept", "optional"])
def test_a_network_is_never_loaded_in_part(network, tmp_path, what, head):
    change, reason = STRANGE[what]
    state = create_model("resnet8", num_classes=10).state_dict()
    state["fc.weight"] = change(state["fc.weight"])
    torch.save({"model": state}, tmp_path / "a.pth")
    before = {key: value.clone() for key, value in network.state_dict().items()}
    with pytest.raises(UsageError, match=reason):
        load_weights(network, tmp_path / "a.pth", head=head)
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert network.state_dict().keys() == before.keys()


def test_nan_beside_a_missing_head_leaves_the_network_its_own_head(network, tmp_path):
    state = create_model("resnet8", num_classes=10).state_dict()
    del state["fc.weight"], state["fc.bias"]
    state["conv1.weight"] *= float("nan")
    torch.save(state, tmp_path / "a.pth")
    with pytest.raises(UsageError, match="hold NaN"):
        load_weights(network, tmp_path / "a.pth", head="optional", say=lambda line: None)
    assert "fc.weight" in network.state_dict()


def test_compressed_files_of_torch_are_refused(network, tmp_path):
    torch.save({"fc.weight": torch.zeros(10**7)}, tmp_path / "a.pth")
    with (
        zipfile.ZipFile(tmp_path / "a.pth") as plain,
        zipfile.ZipFile(tmp_path / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as bomb,
    ):
        for name in plain.namelist():
            bomb.writestr(name, plain.read(name))
    assert (tmp_path / "bomb.pth").stat().st_size < 100_000
    with pytest.raises(UsageError, match=r"damaged or no weights file \(it would take 40,0"):
        load_weights(network, tmp_path / "bomb.pth")


class TestOpenNetwork:
    def test_builds_what_the_card_says(self, network, tmp_path):
        save_weights(network, tmp_path / "a.safetensors", card=CARD)
        opened = open_network(tmp_path / "a.safetensors")
        assert not opened.training
        assert opened.classes == CARD.classes
        images = torch.rand(2, 3, 32, 32)
        expected = Network(network, Preprocess(MEAN, STD)).eval()(images)
        assert torch.equal(opened(images), expected)
        assert opened(torch.rand(1, 3, 50, 40)).shape == (1, 10)

    def test_without_a_card(self, network, tmp_path):
        save_weights(network, tmp_path / "a.safetensors")
        with pytest.raises(
            UsageError, match=r"does not say what network it is and what it sees: name a student.safetensors"
        ):
            open_network(tmp_path / "a.safetensors")

    def test_code_of_ones_own_is_run_only_when_named(self, tmp_path):
        card = ModelCard("torch.nn:Flatten", 12, mean=MEAN, std=STD)
        save_weights(nn.Flatten(), tmp_path / "a.safetensors", card=card)
        with pytest.raises(UsageError, match=r"code of your own: give --model torch.nn:Flatten to run it"):
            open_network(tmp_path / "a.safetensors")

    def test_a_card_that_does_not_fit(self, network, tmp_path):
        save_weights(network, tmp_path / "a.safetensors", card=ModelCard("resnet14", 10, mean=MEAN, std=STD))
        with pytest.raises(UsageError, match=r"do not fit the network: .* missing"):
            open_network(tmp_path / "a.safetensors")


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "published", "count", "off"), [("resnet20", 68.83, 10_000, 0.05), ("resnet56", 72.63, 1_000, 3.0)]
)
def test_published_checkpoints_reach_their_accuracy(name, published, count, off):
    """The whole test split for one network, a tenth of it for the other, within its sampling error."""
    weights, table = REAL / f"cifar100_checkpoints/cifar100_{name}.pth", REAL / "cifar100/test-00000-of-00001.parquet"
    if not (weights.is_file() and table.is_file()):
        pytest.skip(f"CIFAR-100 and its checkpoints are not in {REAL}")
    rows = read_table(table, columns=["img", "fine_label"]).slice(0, count).to_pydict()
    pictures = [np.asarray(Image.open(io.BytesIO(row["bytes"])).convert("RGB")) for row in rows["img"]]
    images = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)
    network = Network(load_weights(create_model(name), weights), Preprocess(MEAN, STD)).eval()
    with torch.inference_mode():
        predicted = torch.cat([network(chunk / 255).argmax(1) for chunk in images.split(500)])
    top1 = 100 * (predicted == torch.tensor(rows["fine_label"])).float().mean().item()
    assert top1 == pytest.approx(published, abs=off)


def test_a_file_is_the_same_each_time_it_is_written(tmp_path):
    """Its metadata come in the order of their names; a reader that knows nothing of us reads it as before."""
    network = create_model("resnet8", num_classes=3)
    card = ModelCard("resnet8", 3, classes=("[a]", "é\u2028", 'q"\\'), mean=(0.5,) * 3, std=(0.2,) * 3)
    contents = set()
    for _ in range(8):
        save_weights(network, tmp_path / "w.safetensors", card=card)
        contents.add((tmp_path / "w.safetensors").read_bytes())
    assert len(contents) == 1
    assert read_card(tmp_path / "w.safetensors") == card
    read = safetensors.torch.load_file(tmp_path / "w.safetensors")
    assert all(torch.equal(value, read[name]) for name, value in network.state_dict().items())
    save_weights(network, tmp_path / "bare.safetensors")
    assert digest(tmp_path / "bare.safetensors") != digest(tmp_path / "w.safetensors")
    torch.save({"state_dict": network.state_dict()}, tmp_path / "a.pth")
    torch.save(network.state_dict(), tmp_path / "b.pth")
    assert digest(tmp_path / "a.pth") == digest(tmp_path / "b.pth")
