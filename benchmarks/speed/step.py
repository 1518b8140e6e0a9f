"""A whole training step of resnet56 → resnet20 at 32×32, B=64: what a method costs over plain KD."""

from collections.abc import Callable

import torch
from harness import interleaved, options, place, report

import wcord
from wcord.data.batch import Batch

BATCH, SAMPLES, CLASSES = 64, 50_000, 100
CASES: dict[str, tuple[str, dict[str, object], float | None]] = {
    "kd": ("kd", {}, None),
    "wcord": ("wcord", {}, 1.2),
    "wcord shared": ("wcord", {"estimator": "shared"}, 1.1),
    "wcord expected": ("wcord", {"estimator": "expected"}, None),
    "wcord+kd": ("wcord+kd", {}, None),
    "wcord-a": ("wcord-a", {}, None),
    "crd": ("crd", {}, None),
}
"""Name → method, options of its first summand, largest allowed ratio to kd."""


def make_step(method: str, settings: dict[str, object], device: torch.device) -> Callable[[], None]:
    torch.manual_seed(0)
    student, teacher = (wcord.create_model(name).to(device) for name in ("resnet20", "resnet56"))
    student.train()
    teacher.eval()
    name = method.partition("+")[0]
    objective = wcord.build_method(
        method, student, teacher, num_samples=SAMPLES, batch_size=BATCH, options={name: settings}
    ).to(device)
    optimizer = torch.optim.SGD([*student.parameters(), *objective.parameters()], lr=0.05, momentum=0.9)
    images = torch.rand(BATCH, 3, 32, 32, device=device)
    target = torch.randint(CLASSES, (BATCH,), device=device)

    def step() -> None:
        batch = Batch(images, images, target, torch.randint(SAMPLES, (BATCH,), device=device))
        with wcord.capture(student) as student_tap, wcord.capture(teacher) as teacher_tap:
            with torch.no_grad():
                seen = teacher_tap(images)
            loss = objective(student_tap(images), seen, batch).total
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def main() -> None:
    arguments = options(__doc__, repeats=15)
    device = arguments.device
    steps = {name: make_step(method, settings, device) for name, (method, settings, _) in CASES.items()}
    seconds = interleaved(steps, repeats=arguments.repeats, warmup=2, device=device)
    rows = [
        {
            "method": name,
            "ms": round(1000 * seconds[name], 1),
            "ratio to kd": round(seconds[name] / seconds["kd"], 3),
            "target": "" if limit is None else f"≤ {limit}",
            "met": "" if limit is None else seconds[name] <= limit * seconds["kd"],
        }
        for name, (_, _, limit) in CASES.items()
    ]
    report(f"Training step resnet56 → resnet20, 32×32, B={BATCH}, {place(device)}", rows, arguments.out)


if __name__ == "__main__":
    main()
