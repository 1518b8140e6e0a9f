"""The objective as a sum, for a term of one's own."""

import torch
from torch import Tensor

from wcord.data.batch import Batch
from wcord.features import Features
from wcord.losses import LossReport
from wcord.methods.term import Objective, Setting, Term


class Constant(Term):
    student_map_names = ("stem",)
    teacher_map_names = ("block0",)

    def __init__(self, name: str, value: float) -> None:
        super().__init__()
        self.parts = {name: 1.0}
        self.value = torch.nn.Parameter(torch.tensor(value))

    def forward(self, student: Features, teacher: Features, batch: Batch) -> Tensor:
        return self.value


class Pair(Constant):
    def __init__(self) -> None:
        super().__init__("first", 3.0)
        self.parts = {"first": 0.5, "second": 2.0}

    def forward(self, student: Features, teacher: Features, batch: Batch) -> LossReport:
        parts = {"first": self.value, "second": self.value + 1}
        return LossReport(0.5 * parts["first"] + 2.0 * parts["second"], parts)


def test_total_is_the_weighted_sum_and_parts_stay_unweighted() -> None:
    objective = Objective({"a": (2.0, Constant("a", 5.0)), "pair": (10.0, Pair())})
    images = torch.zeros(2, 1, 1, 1)
    seen = Features(torch.zeros(2, 3), torch.zeros(2, 4), {})
    report = objective(seen, seen, Batch(images, images, torch.zeros(2).long()))
    assert report.total.item() == 2 * 5 + 10 * (0.5 * 3 + 2 * 4)
    assert {name: part.item() for name, part in report.parts.items()} == {"a": 5.0, "first": 3.0, "second": 4.0}
    assert objective.formula == "2 a + 5 first + 20 second"
    assert (objective.student_map_names, objective.teacher_map_names) == (("stem",), ("block0",))
    assert len(list(objective.parameters())) == 2


def test_check_asks_every_term() -> None:
    asked = []

    class Asking(Constant):
        def check(self, name: str, setting: Setting) -> None:
            asked.append(name)

    Objective({"x": (1.0, Asking("x", 1.0)), "y": (1.0, Asking("y", 1.0))}).check(Setting(1, 1, 2, 2))
    assert asked == ["x", "y"]
