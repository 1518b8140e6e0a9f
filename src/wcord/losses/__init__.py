"""Losses: tensors in, a scalar out; a pure function, or a module where there are parameters."""

from wcord.losses.ab import ab_loss as ab_loss
from wcord.losses.at import at_loss as at_loss
from wcord.losses.bce import bce_loss as bce_loss
from wcord.losses.cc import cc_loss as cc_loss
from wcord.losses.crd import CRDLoss as CRDLoss
from wcord.losses.cross_entropy import cross_entropy_loss as cross_entropy_loss
from wcord.losses.dist import dist_loss as dist_loss
from wcord.losses.dkd import dkd_loss as dkd_loss
from wcord.losses.fitnet import fitnet_loss as fitnet_loss
from wcord.losses.fourds import phase_amplitude as phase_amplitude
from wcord.losses.fourds import phase_feature_loss as phase_feature_loss
from wcord.losses.fourds import recompose as recompose
from wcord.losses.fsp import fsp_loss as fsp_loss
from wcord.losses.ft import Paraphraser as Paraphraser
from wcord.losses.ft import Translator as Translator
from wcord.losses.ft import ft_loss as ft_loss
from wcord.losses.gckt import GCKTLoss as GCKTLoss
from wcord.losses.ickd import ickd_loss as ickd_loss
from wcord.losses.infonce import infonce_loss as infonce_loss
from wcord.losses.kd import binary_kd_loss as binary_kd_loss
from wcord.losses.kd import kd_loss as kd_loss
from wcord.losses.kdsvd import kdsvd_loss as kdsvd_loss
from wcord.losses.lckt import LCKTLoss as LCKTLoss
from wcord.losses.loss_report import LossReport as LossReport
from wcord.losses.margin_softmax import margin_softmax_loss as margin_softmax_loss
from wcord.losses.mlkd import align_loss as align_loss
from wcord.losses.mlkd import correlation_loss as correlation_loss
from wcord.losses.mlkd import cross_network_supcon as cross_network_supcon
from wcord.losses.nst import nst_loss as nst_loss
from wcord.losses.ofd import ofd_loss as ofd_loss
from wcord.losses.ofd import ofd_margin as ofd_margin
from wcord.losses.pkt import pkt_loss as pkt_loss
from wcord.losses.reviewkd import ReviewKDLoss as ReviewKDLoss
from wcord.losses.reviewkd import hcl_loss as hcl_loss
from wcord.losses.rkd import rkd_loss as rkd_loss
from wcord.losses.rsd import rsd_loss as rsd_loss
from wcord.losses.sp import sp_loss as sp_loss
from wcord.losses.sskd import sskd_head_loss as sskd_head_loss
from wcord.losses.sskd import sskd_loss as sskd_loss
from wcord.losses.ttm import ttm_loss as ttm_loss
from wcord.losses.ttm import wttm_loss as wttm_loss
from wcord.losses.turned import turned_similarity as turned_similarity
from wcord.losses.urfm import CenterAttention as CenterAttention
from wcord.losses.urfm import UnifiedMapping as UnifiedMapping
from wcord.losses.urfm import distance_index as distance_index
from wcord.losses.urfm import distances_from_middle as distances_from_middle
from wcord.losses.urfm import urfm_loss as urfm_loss
from wcord.losses.vid import VIDLoss as VIDLoss
from wcord.losses.wcord import WCoRDLoss as WCoRDLoss
from wcord.losses.wkd import classifier_cost as classifier_cost
from wcord.losses.wkd import wkd_feature_loss as wkd_feature_loss
from wcord.losses.wkd import wkd_logit_loss as wkd_logit_loss

__all__ = [
    "CRDLoss",
    "CenterAttention",
    "LossReport",
    "Paraphraser",
    "ReviewKDLoss",
    "Translator",
    "UnifiedMapping",
    "VIDLoss",
    "WCoRDLoss",
    "ab_loss",
    "align_loss",
    "at_loss",
    "bce_loss",
    "binary_kd_loss",
    "cc_loss",
    "classifier_cost",
    "correlation_loss",
    "cross_entropy_loss",
    "cross_network_supcon",
    "dist_loss",
    "distance_index",
    "distances_from_middle",
    "dkd_loss",
    "fitnet_loss",
    "fsp_loss",
    "ft_loss",
    "hcl_loss",
    "ickd_loss",
    "infonce_loss",
    "kd_loss",
    "kdsvd_loss",
    "margin_softmax_loss",
    "nst_loss",
    "ofd_loss",
    "ofd_margin",
    "phase_amplitude",
    "phase_feature_loss",
    "pkt_loss",
    "recompose",
    "rkd_loss",
    "rsd_loss",
    "sp_loss",
    "sskd_head_loss",
    "sskd_loss",
    "ttm_loss",
    "turned_similarity",
    "urfm_loss",
    "wkd_feature_loss",
    "wkd_logit_loss",
    "wttm_loss",
]
