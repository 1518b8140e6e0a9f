"""A term of your own beside those of the library: a class with a forward method, summed by an Objective."""

import torch
from torch import Tensor

from wcord import Features, build_method, capture, create_model
from wcord.data import Batch
from wcord.methods import Needs, Objective, Term


class CosineTerm(Term):
    """1 − cosine between each student embedding and its teacher's."""

    needs = Needs()

    def forward(self, student: Features, teacher: Features, batch: Batch) -> Tensor:
        return (1 - torch.cosine_similarity(student.embedding, teacher.embedding.detach())).mean()


def main() -> None:
    torch.manual_seed(0)
    student, teacher = create_model("resnet8", num_classes=10), create_model("resnet14", num_classes=10).eval()
    library = build_method("kd", student, teacher)
    terms = {name: (weight, library.terms[name]) for name, weight in library.weights.items()}
    objective = Objective(terms | {"cosine": (2.0, CosineTerm())})
    images, target = torch.rand(8, 3, 32, 32), torch.arange(8)
    with (
        capture(student, objective.student_map_names, cut=objective.cuts) as student_tap,
        capture(teacher, objective.teacher_map_names) as teacher_tap,
    ):
        with torch.no_grad():
            teacher_features = teacher_tap(images)
        report = objective(student_tap(images), teacher_features, Batch(images, images, target))
    report.total.backward()
    print(objective.formula, {name: round(part.item(), 3) for name, part in report.parts.items()})


if __name__ == "__main__":
    main()
