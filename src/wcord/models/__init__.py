"""Networks to build by name, and the weights files that hold them.

`catalogue` lists the names and `create` builds them: the CIFAR families (`resnet`, `resnet50`, `wrn`, `vgg`,
`mobilenetv2`, `shufflenetv1`, `shufflenetv2`, with `initialize` and `shuffle`), `mlp` for tables, `simkd`, and networks
of libraries (`timm_networks`, `torchvision_networks`, `transformers_networks`, with `stated` for what they say about
their weights and `hub` for their files). `network` joins a backbone with its `preprocess`; `classifier` and
`preactivation` find its head and its maps before ReLU; `trial` runs it for the first time. `weights` loads and saves
files: `reading` gets the tensors without running code, `fitting` matches them to a network, `card` describes it and
`believable` checks the description against the tensors.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
