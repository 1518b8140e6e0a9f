"""Distillation of softened logits, plain (kd) and standardized (lskd)."""

from dataclasses import replace
from functools import partial

from wcord.losses import binary_kd_loss, kd_loss
from wcord.methods.setting import Setting
from wcord.methods.terms import LogitsTerm


class KDTerm(LogitsTerm):
    """KL divergence between softened logits; options are those of `losses.kd_loss`.

    If samples may have several labels it is `losses.binary_kd_loss`, which has no standardization.
    """

    loss = staticmethod(kd_loss)

    def __init__(self, name: str, setting: Setting, **options: object) -> None:
        super().__init__(name, setting, **options)
        if setting.several_labels and not options.get("standardize"):
            self.needs = replace(self.needs, exclusive=False)
            plain = {option: value for option, value in options.items() if option != "standardize"}
            self.compute = partial(binary_kd_loss, **plain)  # pyright: ignore[reportArgumentType]  # build checks names
