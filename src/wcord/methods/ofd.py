"""The feature overhaul as a term: connectors of the student's stages, margins from the teacher's normalization."""

from typing import cast

from torch import Tensor, nn

from wcord.checks import DoesNotFitError, UsageError
from wcord.data.batch import Batch
from wcord.features import Features, preactivation, unwrap
from wcord.losses.ofd import ofd_loss, ofd_margin
from wcord.methods.maps import MapPair, spatial_pairs
from wcord.methods.setting import Setting
from wcord.methods.term import Needs, Term
from wcord.models.initialize import initialize_convolutions
from wcord.models.map_addresses import map_path
from wcord.models.network import shown_type
from wcord.models.preactivation import norm_before_relu
from wcord.numerics import autocast_off, in_precision_of


class OFDTerm(Term):
    """Σ_i OFD(connector_i(s_i), t_i, m_i) / 2^(n-1-i) over the n stages before their ReLU.

    A connector is a 1×1 convolution without bias and BN, also where the channels agree; the convolution begins as
    N(0, 2 / out). The margins m_i come from the last batch normalization before the ReLU of the teacher's stage. This
    is the form of mdistiller for CIFAR-100, with its weight of 1e-3, which is that of the authors' CIFAR code.
    """

    needs = Needs(min_batch=2, whole_batch=True)
    loss_signature = ofd_loss

    def __init__(self, name: str, setting: Setting) -> None:
        super().__init__()
        pairs = spatial_pairs(name, setting, "stages")
        self.student_map_names = tuple(preactivation(pair.student) for pair in pairs)
        self.teacher_map_names = tuple(preactivation(pair.teacher) for pair in pairs)
        if setting.teacher is None:
            raise UsageError(f"{name} reads the teacher's batch normalizations: give the teacher in the setting")
        teacher = unwrap(setting.teacher)
        self.stages = nn.ModuleList(_Stage(pair, margin_norm(teacher, pair)) for pair in pairs)

    def forward(self, student: Features, teacher: Features, batch: Batch) -> Tensor:
        """Return the weighted sum over the stages; the last one weighs 1."""
        total = student.logits.new_zeros(())
        last = len(self.stages) - 1
        stages = zip(self.stages, self.student_map_names, self.teacher_map_names, strict=True)
        for number, (stage, student_name, teacher_name) in enumerate(stages):
            total = total + stage(student.maps[student_name], teacher.maps[teacher_name]) / 2 ** (last - number)
        return total


class _Stage(nn.Module):
    """A connector and the margins of one pair of maps."""

    def __init__(self, pair: MapPair, norm: nn.BatchNorm2d) -> None:
        super().__init__()
        channels, teacher_channels = pair.student_shape[0], pair.teacher_shape[0]
        self.connector = nn.Sequential(
            nn.Conv2d(channels, teacher_channels, 1, bias=False), nn.BatchNorm2d(teacher_channels)
        )
        initialize_convolutions(self.connector)
        self.register_buffer("margin", ofd_margin(norm.weight, norm.bias).float().cpu())

    def forward(self, student_map: Tensor, teacher_map: Tensor) -> Tensor:
        """Return the loss of the pair."""
        with autocast_off(student_map):
            connected = self.connector(in_precision_of(self, student_map))
        return ofd_loss(connected, teacher_map, cast(Tensor, self.margin))


def margin_norm(network: nn.Module, pair: MapPair) -> nn.BatchNorm2d:
    """Return the batch normalization before the ReLU of the teacher's map, with or without a shortcut added in between.

    >>> from wcord.models.create import create_model
    >>> teacher = create_model("resnet8")
    >>> margin_norm(teacher, MapPair("stage3", "stage3", (64, 8, 8), (64, 8, 8))) is teacher.layer3[0].bn2
    True

    Args:
        network: the teacher.
        pair: names the teacher's map and its shape.

    Raises:
        DoesNotFitError: if there is none, or it does not cover all channels of the map.
    """
    norm = norm_before_relu(network, pair.teacher, map_path(network, pair.teacher))
    channels = pair.teacher_shape[0]
    if norm is None or norm.num_features != channels or not norm.affine:
        raise DoesNotFitError(
            "ofd takes its margins from the batch normalization before the ReLU of the teacher's map, but "
            f"{shown_type(network)} has none over the {channels} channels of {pair.teacher!r}: use a resnet, wrn or "
            "vgg as teacher, or another method, such as 'at'"
        )
    return norm
