"""The objective: a weighted sum, what it says of its terms, and the inputs that each of them gets."""

import pytest
import torch
from torch import Tensor

from wcord.checks import UsageError, WrongTypeError
from wcord.data.batch import Batch
from wcord.features import Features
from wcord.losses import LossReport
from wcord.methods.build import build_objective
from wcord.methods.objective import Objective
from wcord.methods.setting import Setting
from wcord.methods.term import Needs, Preparation, TeacherTraining, Term


class Constant(Term):
    student_map_names = ("stem",)
    teacher_map_names = ("block0",)

    def __init__(self, name: str, value: float) -> None:
        super().__init__()
        self.value = torch.nn.Parameter(torch.tensor(value))

    def forward(self, student: Features, teacher: Features, batch: Batch) -> Tensor:
        return self.value


class Measured(Constant):
    diagnostics = ("half",)

    def forward(self, student: Features, teacher: Features, batch: Batch) -> Tensor:
        self.measured = {"half": self.value.detach() / 2}
        return self.value


def batch() -> tuple[Features, Features, Batch]:
    images = torch.zeros(2, 1, 1, 1)
    features = Features(torch.zeros(2, 3), torch.zeros(2, 4), {})
    return features, features, Batch(images, images, torch.zeros(2).long())


def test_total_is_the_weighted_sum_and_parts_stay_unweighted() -> None:
    objective = Objective({"a": (2.0, Constant("a", 5.0)), "b": (10.0, Measured("b", 3.0))})
    report = objective(*batch())
    assert report.total.item() == 2 * 5 + 10 * 3
    assert {name: part.item() for name, part in report.parts.items()} == {"a": 5.0, "b": 3.0}
    assert objective.diagnostics == ("half",)
    assert {name: value.item() for name, value in report.diagnostics.items()} == {"half": 1.5}
    assert objective.formula == "2 a + 10 b"
    assert (objective.student_map_names, objective.teacher_map_names) == (("stem",), ("block0",))
    assert len(list(objective.parameters())) == 2


def test_a_term_that_returns_no_tensor_is_refused() -> None:
    class Report(Constant):
        def forward(self, student: Features, teacher: Features, batch: Batch) -> Tensor:
            return LossReport(self.value, {})  # pyright: ignore[reportReturnType]  # as in earlier versions

    with pytest.raises(WrongTypeError, match="what old returns must be a scalar tensor, received LossReport"):
        Objective({"old": (1.0, Report("old", 1.0))})(*batch())


def test_checkpoints_of_earlier_versions_load() -> None:
    setting = Setting(4, 6, 3, 3, num_samples=12)
    options = {"wcord-a": {"num_negatives": 4, "anchor_end": 0.0, "anneal_steps": 2}}
    objective, fresh = (build_objective("wcord-a+kd", setting, options=options) for _ in range(2))
    state = {
        key.replace("terms.gckt.loss.", "terms.wcord-a.loss.").replace("terms.lckt.loss.", "terms.wcord-a.loss.local."):
        value for key, value in objective.state_dict().items()
    }  # fmt: skip
    assert "terms.wcord-a.loss.local.student_map.weight" in state
    assert "terms.wcord-a.loss.contrast.student_memory.storage" in state
    fresh.load_state_dict(state)
    assert all(torch.equal(value, fresh.state_dict()[key]) for key, value in objective.state_dict().items())


def test_check_asks_every_term() -> None:
    asked = []

    class Asking(Constant):
        def check(self, name: str, setting: Setting) -> None:
            asked.append(name)

    Objective({"x": (1.0, Asking("x", 1.0)), "y": (1.0, Asking("y", 1.0))}).check(Setting(1, 1, 2, 2))
    assert asked == ["x", "y"]


class Rows(Term):
    """Notes which rows it gets."""

    def __init__(self, **needs: bool) -> None:
        super().__init__()
        self.needs = Needs(**needs)
        self.preparation = Preparation(student=True)
        self.head = torch.nn.Linear(1, 1)

    def forward(self, student: Features, teacher: Features, batch: Batch) -> Tensor:
        self.rows = [student.logits[:, 0].tolist(), teacher.maps["m"][:, 0].tolist(), batch.target.tolist()]
        self.shared = student is teacher
        return self.head(student.embedding[:, :1]).sum()

    def prepare(self, student: Features | None, teacher: Features, batch: Batch) -> Tensor:
        assert student is not None
        return self.forward(student, teacher, batch)


def rotated_batch() -> tuple[Features, Batch]:
    images = torch.zeros(2, 1, 3, 3)
    rows = torch.arange(8.0)[:, None]
    return Features(rows, rows, {"m": rows}), Batch(
        images, images, torch.tensor([5, 6]), torch.tensor([0, 1])
    ).rotated()


@pytest.mark.parametrize("prepares", [False, True])
def test_terms_without_need_of_rotations_see_the_upright_rows(prepares: bool) -> None:
    turned, plain = Rows(rotations=True), Rows(whole_batch=True)
    objective = Objective({"turned": (1.0, turned), "plain": (1.0, plain)})
    assert objective.rotations
    features, batch = rotated_batch()
    (objective.prepare if prepares else objective)(features, features, batch)
    assert turned.rows == [list(range(8)), list(range(8)), [5, 6] * 4]
    assert plain.rows == [[0, 1], [0, 1], [5, 6]]
    assert plain.shared


def test_turned_views_that_a_batch_does_not_hold_are_missed() -> None:
    objective = Objective({"plain": (1.0, Rows()), "turned": (1.0, Rows(rotations=True))})
    features, batch = rotated_batch()
    with pytest.raises(UsageError, match=r"turned compares turned views .* use Batch.rotated\(\), or Loader"):
        objective(features.first(2), features.first(2), batch.upright())


def test_parameters_with_a_rate_of_their_own_form_their_own_group() -> None:
    terms = {name: Rows() for name in ("plain", "slow", "own", "falling")}
    own, falling = Preparation(lr=0.05, milestones=(0.5,)), Preparation(rate=0.5, milestones=(0.5,))
    terms["slow"].preparation = Preparation(rate=0.2)
    terms["own"].preparation, terms["falling"].preparation = own, falling
    objective = Objective({name: (1.0, term) for name, term in terms.items()})
    groups = objective.stage_groups("preparation")
    assert {key: len(group) for key, group in groups.items()} == {1.0: 2, 0.2: 2, own: 2, falling: 2}
    assert {key: len(group) for key, group in objective.stage_groups("main").items()} == {1.0: 8}


def test_one_term_of_a_sum_says_how_the_teacher_trains() -> None:
    terms = {name: Rows() for name in ("plain", "one", "other")}
    terms["one"].teacher_training = training = TeacherTraining(lr=0.5)
    objective = Objective({name: (1.0, term) for name, term in terms.items()})
    assert objective.teacher_training is training
    terms["other"].teacher_training = TeacherTraining(lr=0.1)
    with pytest.raises(AssertionError, match="one method of a sum adds parts to the teacher"):
        _ = objective.teacher_training
