import sys
import types

import pytest
import torch
from torch import nn

from wcord.checks import UsageError
from wcord.models.catalogue import CIFAR_MODELS
from wcord.models.create import create_model


@pytest.mark.parametrize("name", CIFAR_MODELS)
def test_builds_every_listed_network(name):
    network = create_model(name, num_classes=4, in_channels=2)
    assert network.training
    assert next(iter(network.state_dict().values())).shape[1] == 2
    assert list(network.state_dict().values())[-1].shape == (4,)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet21", r"unknown model 'resnet21': did you mean 'resnet\d+'"),
        ("resnet50", r"timm:NAME, torchvision:NAME, hf:NAME or package.module:factory"),
        ("RESNET50", r"did you mean 'ResNet50' \(names are case-sensitive\)\?; for other networks: timm:NAME"),
        ("VGG8", r"did you mean 'vgg8'"),
        ("timm:resnet500", r"timm has no network 'resnet500' .*did you mean timm:resnet50"),
        ("torchvision:resnet51", r"torchvision has no network 'resnet51' .*torchvision:resnet50"),
        ("torchvision:fcn_resnet50", r"torchvision has no network 'fcn_resnet50'"),
        ("nowhere.nets:small", r"no module 'nowhere' was found"),
        ("torch.nn:Sequentiall", r"torch.nn has no network 'Sequentiall' .*torch.nn:Sequential"),
        ("os:curdir", r"os:curdir is a str: name a function or class"),
        ("os:getcwd", r"os:getcwd must return a torch.nn.Module, received str"),
        ("torch.nn:Linear", r"'torch.nn:Linear' could not be built: TypeError: .*in_features"),
        (":factory", r"model ':factory'"),
        ("timm:", r"timm has no network ''"),
    ],
)
def test_names_what_is_wrong(name, message):
    with pytest.raises(UsageError, match=message) as caught:
        create_model(name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("numbers", [{"num_classes": -1}, {"num_classes": 1.5}, {"in_channels": 0}])
def test_refuses_impossible_numbers(numbers):
    with pytest.raises(UsageError, match="must be a whole number"):
        create_model("resnet8", **numbers)


def test_timm_takes_classes_and_channels():
    network = create_model("timm:test_resnet", num_classes=6, in_channels=1).eval()
    assert network(torch.zeros(1, 1, 32, 32)).shape == (1, 6)


def test_torchvision_takes_classes_but_not_channels():
    network = create_model("torchvision:mobilenet_v3_small", num_classes=6).eval()
    assert network(torch.zeros(1, 3, 32, 32)).shape == (1, 6)
    with pytest.raises(UsageError, match=r"takes 3 input channels, received 1: use a timm: network"):
        create_model("torchvision:mobilenet_v3_small", in_channels=1)


def test_hugging_face_says_which_extra_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(UsageError, match=r"pip install 'wcord\[hf\]'"):
        create_model("hf:microsoft/resnet-18")


def test_hugging_face_is_asked_for_an_image_classifier(monkeypatch, put_in_hub):
    class Config:
        def __init__(self, given):
            self.given = given

        def to_dict(self):
            return {"num_channels": 3}

        @classmethod
        def from_pretrained(cls, folder, *, trust_remote_code, **given):
            assert trust_remote_code is False
            if "strange" in str(folder):
                raise OSError("strange is not a model\nidentifier")
            return cls(given)

    class Classifier:
        @staticmethod
        def from_config(config, *, trust_remote_code):
            assert trust_remote_code is False  # None would ask in the terminal whether to run a repository's code
            return nn.Linear(2, config.given["num_labels"])

    library = types.SimpleNamespace(AutoConfig=Config, AutoModelForImageClassification=Classifier)
    monkeypatch.setitem(sys.modules, "transformers", library)
    for name in ("some/net", "strange"):
        put_in_hub(name, {"config.json": {"model_type": "resnet"}})
    assert create_model("hf:some/net", num_classes=9, pretrained=False).out_features == 9
    with pytest.raises(UsageError, match=r"hf:some/net takes 3 input channels, received 1"):
        create_model("hf:some/net", in_channels=1, pretrained=False)
    with pytest.raises(UsageError, match=r"'hf:strange' could not be built: OSError: strange is not a model id"):
        create_model("hf:strange", pretrained=False)
    with pytest.raises(UsageError, match=r"model.safetensors of some/net on the Hugging Face hub"):
        create_model("hf:some/net", num_classes=9)


@pytest.fixture
def own_module(monkeypatch, tmp_path):
    """Put a module of the user's own in the current folder, which the interpreter does not search."""
    (tmp_path / "own_nets.py").write_text(
        "from torch import nn\n"
        "def both(num_classes, in_channels): return nn.Linear(in_channels, num_classes)\n"
        "def classes(*, num_classes=2): return nn.Linear(5, num_classes)\n"
        "def neither(): return nn.Linear(1, 1)\n"
        "def anything(**given): return nn.Sequential(*(nn.Identity() for _ in given))\n"
        "def fails(num_classes): raise RuntimeError('no luck')\n"
        "ready = nn.Linear(1, 1)\n"
    )
    (tmp_path / "broken_nets.py").write_text("import not_installed_anywhere\n")
    (tmp_path / "wrong_nets.py").write_text("def (:\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    yield
    sys.modules.pop("own_nets", None)


@pytest.mark.usefixtures("own_module")
def test_own_factory_gets_what_it_accepts():
    assert create_model("own_nets:both", num_classes=7, in_channels=4).weight.shape == (7, 4)
    assert create_model("own_nets:classes", num_classes=7).weight.shape == (7, 5)
    assert create_model("own_nets:neither").weight.shape == (1, 1)
    assert len(create_model("own_nets:anything")) == 1
    assert len(create_model("own_nets:anything", in_channels=1)) == 2


@pytest.mark.usefixtures("own_module")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("own_nets:fails", r"'own_nets:fails' could not be built: RuntimeError: no luck"),
        ("own_nets:ready", r"own_nets:ready is a Linear: name a function or class that returns a new network"),
        ("own_nets:bothh", r"own_nets has no network 'bothh' .*did you mean own_nets:both"),
        ("broken_nets:net", r"ModuleNotFoundError: No module named 'not_installed_anywhere'"),
        ("wrong_nets:net", r"'wrong_nets:net' could not be built: SyntaxError"),
        ("own_nets.deeper:net", r"'own_nets.deeper:net'"),
    ],
)
def test_own_factory_that_is_wrong_is_named(name, message):
    with pytest.raises(UsageError, match=message):
        create_model(name)


def test_a_simkd_student_is_built_by_name_and_its_file_opens_again(tmp_path):
    from wcord.models.card import ModelCard
    from wcord.models.weights import open_network, save_weights

    network = create_model("simkd:resnet8:vgg8", num_classes=7, in_channels=1).eval()
    images = torch.rand(2, 1, 16, 16)
    assert network(images).shape == (2, 7)
    card = ModelCard(
        architecture="simkd:resnet8:vgg8", num_classes=7, in_channels=1, image_size=(16, 16), classes=(),
        mean=(0.0,), std=(1.0,),
    )  # fmt: skip
    save_weights(network, tmp_path / "student.safetensors", card=card)
    assert torch.equal(open_network(tmp_path / "student.safetensors")(images), network(images))
