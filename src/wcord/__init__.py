"""Distill a trained teacher into a smaller student with Wasserstein contrastive representation distillation.

The public names stand in `__init__.pyi`. They are loaded when first used, so that `import wcord` and `wcord --help` do
not import torch.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
