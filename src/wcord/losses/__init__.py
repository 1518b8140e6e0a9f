"""Losses: tensors in, a scalar or a report out; a pure function first, a module where there are parameters."""

from wcord.losses.crd import CRDLoss as CRDLoss
from wcord.losses.cross_entropy import cross_entropy_loss as cross_entropy_loss
from wcord.losses.kd import kd_loss as kd_loss
from wcord.losses.loss_report import LossReport as LossReport
from wcord.losses.wcord import WCoRDLoss as WCoRDLoss
