"""Features in any precision, and criteria cast to any: every loss gives about its value in single precision."""

from collections.abc import Callable
from copy import deepcopy
from itertools import product

import pytest
import torch
from tests.support.swin_teacher import suitable_teacher
from torch import Tensor, nn

from wcord import contrast, losses, transport
from wcord.losses.loss_report import LossReport
from wcord.methods.build import adapt_teacher, build_objective
from wcord.methods.catalogue import METHODS
from wcord.methods.objective import Objective
from wcord.methods.observe import observe, rehearse
from wcord.models.create import create_model

torch.manual_seed(0)
LOGITS = torch.randn(8, 5), torch.randn(8, 5)
EMBEDDINGS = torch.randn(8, 6), torch.randn(8, 10)
EQUAL = torch.randn(8, 6), torch.randn(8, 6)
MAPS = torch.randn(8, 3, 4, 4), torch.randn(8, 5, 4, 4)
EQUAL_MAPS = torch.randn(8, 3, 4, 4), torch.randn(8, 3, 4, 4)
TARGET, ROWS = torch.randint(0, 5, (8,)), torch.arange(8)
COST = torch.rand(5, 5)
WEIGHTS = LOGITS[0].softmax(1), LOGITS[1].softmax(1)

FUNCTIONS: dict[str, tuple[Callable[[Tensor, Tensor], Tensor], tuple[Tensor, Tensor]]] = {
    "kd": (losses.kd_loss, LOGITS),
    "lskd": (lambda s, t: losses.kd_loss(s, t, standardize=True), LOGITS),
    "binary kd": (losses.binary_kd_loss, LOGITS),
    "bce": (losses.bce_loss, (LOGITS[0], WEIGHTS[0])),
    "dkd": (lambda s, t: losses.dkd_loss(s, t, TARGET), LOGITS),
    "dist": (losses.dist_loss, LOGITS),
    "ttm": (losses.ttm_loss, LOGITS),
    "wttm": (losses.wttm_loss, LOGITS),
    "wkd-l": (lambda s, t: losses.wkd_logit_loss(s, t, COST, TARGET), LOGITS),
    "cc": (losses.cc_loss, EQUAL),
    "rsd": (lambda s, t: losses.rsd_loss(s, t, kappa=0.01), EQUAL),
    "infonce": (lambda s, t: losses.infonce_loss(s, t, temperature=0.1), EQUAL),
    "pkt": (losses.pkt_loss, EMBEDDINGS),
    "rkd": (losses.rkd_loss, EMBEDDINGS),
    "transport": (transport.transport_loss, EQUAL),
    "squared distances": (lambda s, t: transport.squared_euclidean_cost(s, t).mean(), EQUAL),
    "cosines": (lambda s, t: transport.cosine_cost(s, t).mean(), EQUAL),
    "shared cost": (
        lambda s, t: transport.shared_cost_transport(s, t, COST, epsilon=0.5, iterations=20).cost.mean(),
        WEIGHTS,
    ),
    "nce": (lambda s, t: contrast.nce_loss(s, t, t, temperature=1.0), EQUAL),
    "ab": (losses.ab_loss, EQUAL_MAPS),
    "at": (losses.at_loss, MAPS),
    "fitnet": (losses.fitnet_loss, EQUAL_MAPS),
    "urfm": (lambda s, t: losses.urfm_loss([s, s[:, None]], [t, t[:, None]]), (EQUAL[0][:, None], EQUAL[1][:, None])),
    "margin softmax": (lambda s, t: losses.margin_softmax_loss(s, t[:5], TARGET, scale=8.0), EQUAL),
    "fsp": (lambda s, t: losses.fsp_loss([s, s], [t, t]), EQUAL_MAPS),
    "ft": (losses.ft_loss, MAPS),
    "hcl": (lambda s, t: losses.hcl_loss([s], [t]), EQUAL_MAPS),
    "ickd": (losses.ickd_loss, EQUAL_MAPS),
    "kdsvd": (lambda s, t: losses.kdsvd_loss([s, s.flip(3)], [t, t.flip(3)]), EQUAL_MAPS),
    "nst": (losses.nst_loss, MAPS),
    "ofd": (lambda s, t: losses.ofd_loss(s, t, -torch.ones(3)), EQUAL_MAPS),
    "phases": (lambda s, t: losses.phase_feature_loss([s], [t], s.new_ones(8, 3)), EQUAL_MAPS),
    "phase": (lambda s, t: losses.phase_amplitude(s + t)[0].square().mean(), EQUAL_MAPS),
    "recompose": (lambda s, t: losses.recompose(s, t).square().mean(), EQUAL_MAPS),
    "sp": (losses.sp_loss, MAPS),
    "turned": (lambda s, t: losses.turned_similarity(s, t.expand(3, 8, 6)).square().mean(), EQUAL),
    "align": (losses.align_loss, EQUAL),
    "correlation": (losses.correlation_loss, EQUAL),
    "supcon": (lambda s, t: losses.cross_network_supcon(s, t, TARGET, temperature=0.5), EQUAL),
    "sskd head": (lambda s, t: losses.sskd_head_loss((s[:6, :2] + t[:6, :2]).sin()), EQUAL),
    "sskd": (
        lambda s, t: torch.stack([*losses.sskd_loss(s, t, s[:6, :2], t[:6, :2], TARGET[:2]).values()]).sum(),
        LOGITS,
    ),
    "wkd-f": (losses.wkd_feature_loss, EQUAL_MAPS),
}
MODULES: dict[str, tuple[Callable[[], nn.Module], tuple[object, ...]]] = {
    "wcord": (lambda: losses.WCoRDLoss(6, 10, num_samples=8, num_negatives=8), (*EMBEDDINGS, ROWS)),
    "wcord, a queue": (lambda: losses.WCoRDLoss(6, 10, queue_size=8, num_negatives=8), EMBEDDINGS),
    "gckt": (lambda: losses.GCKTLoss(6, 10, num_samples=8, num_negatives=8), (*EMBEDDINGS, ROWS)),
    "lckt": (lambda: losses.LCKTLoss(6, 10, lckt_standardize=True), EMBEDDINGS),
    "crd": (lambda: losses.CRDLoss(6, 10, num_samples=8, num_negatives=8), (*EMBEDDINGS, ROWS)),
    "crd-std": (lambda: losses.CRDLoss(6, 10, num_samples=8, num_negatives=8, standardize=True), (*EMBEDDINGS, ROWS)),
    "critic": (lambda: contrast.Critic(6, 10), EMBEDDINGS),
    "vid": (lambda: losses.VIDLoss(3, 5), MAPS),
    "reviewkd": (lambda: losses.ReviewKDLoss([3, 3], [5, 5]), ([MAPS[0]] * 2, [MAPS[1]] * 2)),
    "mapping": (lambda: losses.UnifiedMapping(4, token_dim=6), (EQUAL[0][:, None], torch.tensor([3]))),
    "center attention": (lambda: losses.CenterAttention(6, heads=2), (EQUAL[0][:, None],)),
    "paraphraser": (lambda: losses.Paraphraser(3), MAPS[:1]),
    "translator": (lambda: losses.Translator(3, 5), MAPS[:1]),
}
DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)


def cast(value: object, dtype: torch.dtype) -> object:
    if isinstance(value, list):
        return [cast(one, dtype) for one in value]
    return value.to(dtype) if isinstance(value, Tensor) and value.is_floating_point() else value


def scalar(value: object) -> Tensor:
    if isinstance(value, LossReport):
        return value.total
    if isinstance(value, tuple):
        return torch.stack([scalar(one) for one in value]).sum()
    assert isinstance(value, Tensor)
    return value if value.dim() == 0 else value.square().mean()


def difference_allowed(*dtypes: torch.dtype) -> float:
    return 0.2 if torch.bfloat16 in dtypes else 0.03 if torch.float16 in dtypes else 1e-3


PAIRS = list(product(DTYPES, DTYPES))


@pytest.mark.filterwarnings("ignore::wcord.transport.ConvergenceWarning")
@pytest.mark.parametrize("name", FUNCTIONS)
def test_losses_take_features_of_two_precisions(name: str) -> None:
    loss, (student, teacher) = FUNCTIONS[name]
    expected = float(loss(student, teacher))
    for of_student, of_teacher in PAIRS:
        cast_student = student.detach().clone().to(of_student).requires_grad_()
        value = loss(cast_student, teacher.to(of_teacher))
        assert value.dtype in (torch.float32, torch.float64)
        allowed = difference_allowed(of_student, of_teacher)
        if name in ("kdsvd", "shared cost") and allowed > 1e-3:
            allowed = 1.0  # singular vectors turn, and weights in half precision do not sum to 1
        assert float(value.detach()) == pytest.approx(expected, rel=allowed, abs=allowed / 10), (of_student, of_teacher)
        value.backward()
        assert cast_student.grad is not None
        assert bool(cast_student.grad.isfinite().all()), (of_student, of_teacher)


@pytest.mark.parametrize("name", MODULES)
def test_modules_of_one_precision_take_features_of_another(name: str) -> None:
    build, inputs = MODULES[name]
    for of_features, of_module in PAIRS:
        torch.manual_seed(1)
        module = build()
        reference = deepcopy(module)
        torch.manual_seed(2)
        expected = float(scalar(reference(*inputs)).detach())
        module = module.to(of_module)
        assert all(p.dtype in (torch.float32, torch.float64) for p in module.parameters())
        torch.manual_seed(2)
        value = scalar(module(*(cast(one, of_features) for one in inputs)))
        assert value.dtype is (torch.float64 if of_module is torch.float64 else torch.float32)
        allowed = difference_allowed(of_features)
        assert float(value.detach()) == pytest.approx(expected, rel=allowed, abs=allowed / 10), (of_features, of_module)
        value.backward()
        assert all(bool(p.grad.isfinite().all()) for p in module.parameters() if p.grad is not None)


@pytest.mark.parametrize("method", [name for name in METHODS if name not in ("ce", "simkd")])
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16], ids=str)
def test_methods_are_cast_with_their_networks(method: str, dtype: torch.dtype) -> None:
    student, teacher = create_model("resnet8", num_classes=5), create_model("resnet8", num_classes=5)
    side = 16 if method == "4ds" else 8
    images = torch.rand(2, 3, side, side)
    teacher = adapt_teacher(method, suitable_teacher(method, teacher, 5, channels=3), student, images)
    setting = observe(student, teacher, student_sample=images, num_samples=4, total_steps=4)
    objective = build_objective(method, setting, options={method: _small(method)})
    before = {name: value.clone() for name, value in objective.state_dict().items()}
    assert isinstance(objective.to(dtype), Objective)
    if dtype is not torch.float64:
        assert all(torch.equal(value, before[name]) for name, value in objective.state_dict().items())
    student, teacher, images = student.to(dtype), teacher.to(dtype), images.to(dtype)
    rehearse(objective, student, teacher, images, images)
    rehearse(objective, student.float(), teacher, images.float(), images)


def _small(method: str) -> dict[str, object]:
    return {"num_negatives": 4} if method.startswith(("crd", "gckt", "wcord")) else {}
