"""SSKD as a method: which rows each term sees, what each stage trains, and that a run resumes in its first stage."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.losses.test_sskd import view_major
from tests.losses.test_turned import CASES
from tests.support.golden import golden_case
from tests.training.test_loop import SMALL, assert_same_run, distil, silent, stop_and_go_on
from torch import Tensor, nn

from wcord.checks import UsageError
from wcord.data.batch import Batch
from wcord.features import Features, capture
from wcord.losses import sskd_loss, turned_similarity
from wcord.methods.build import build_objective, needs_rotations, option_names, resolved_options
from wcord.methods.objective import Objective
from wcord.methods.observe import observe, rehearse
from wcord.methods.setting import Setting
from wcord.methods.sskd import SSKDSimilarityTerm, SSKDTurnedTerm
from wcord.models.create import create_model
from wcord.setup.job import Provided, prepare
from wcord.training.config import DistillConfig, configure
from wcord.training.loop import Trainer

SETTING = Setting(6, 10, 5, 5, num_samples=20, batch_size=4)


def features(width: int, phase: float) -> Features:
    def wave(columns: int) -> Tensor:
        return 2 * torch.sin(0.7 * torch.arange(16.0 * columns) + phase).view(16, columns)

    return Features(wave(5), wave(width).cos())


def rotated_batch() -> Batch:
    images = torch.zeros(4, 1, 3, 3)
    return Batch(images, images, torch.tensor([0, 3, 1, 4]), torch.arange(4)).rotated()


def make(method: str = "sskd", **options: Any) -> Objective:
    torch.manual_seed(0)
    return build_objective(method, SETTING, options={"sskd": options} if options else None)


def parts(objective: Objective, student: Features, teacher: Features, batch: Batch) -> dict[str, float]:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return {name: part.item() for name, part in objective(student, teacher, batch).parts.items()}


def test_the_terms_are_the_parts_of_the_loss() -> None:
    objective = make(turned_temperature=2.0, keep_similarity=0.5)
    assert objective.formula == "0.1 ce + 0.9 sskd_kd + 2.7 sskd_turned + 10 sskd_similarity"
    assert objective.rotations
    student, teacher, batch = features(6, 0.0), features(10, 1.0), rotated_batch()
    term = objective.terms["sskd_similarity"]
    assert isinstance(term, SSKDSimilarityTerm)
    similarities = []
    for side, head in ((student, term.student_head), (teacher, term.teacher_head)):
        embedding = head(side.embedding)
        similarities.append(turned_similarity(embedding[:4], embedding[4:].unflatten(0, (3, 4))))
    options = {"turned_temperature": 2.0, "keep_similarity": 0.5}
    expected = sskd_loss(student.logits, teacher.logits, *similarities, batch.target[:4], **options)
    found = parts(objective, student, teacher, batch)
    found.pop("ce")
    assert found == pytest.approx({f"sskd_{name}": part.item() for name, part in expected.items()})


@pytest.mark.parametrize("case", CASES)
def test_the_total_is_the_authors(case: str) -> None:
    values = golden_case("sskd", case)
    student, teacher = (
        Features(view_major(values[f"{side}_logits"]), view_major(values[f"{side}_embedding"]))
        for side in ("student", "teacher")
    )
    samples, classes = len(values["target"]), student.logits.shape[1]
    setting = Setting(student.embedding.shape[1], teacher.embedding.shape[1], classes, classes)
    names = ("temperature", "turned_temperature", "similarity_temperature", "keep_turned", "keep_similarity")
    *chosen, ce, kd, turned, similarity = values["constants"].tolist()
    options: dict[str, object] = dict(zip(names, chosen, strict=True))
    options |= {"sskd_kd_weight": kd, "sskd_turned_weight": turned, "sskd_similarity_weight": similarity}
    objective = build_objective("sskd", setting, options={"sskd": options}).double()
    objective.weights["ce"] = ce
    term = objective.terms["sskd_similarity"]
    assert isinstance(term, SSKDSimilarityTerm)
    for side, head in (("student", term.student_head), ("teacher", term.teacher_head)):
        state = {f"{layer}.{kind}": values[f"{side}_head_{name}{number}"]
                 for layer, number in ((0, 1), (2, 2)) for kind, name in (("weight", "w"), ("bias", "b"))}  # fmt: skip
        head.load_state_dict(state)
    images = torch.zeros(samples, 1, 2, 2)
    batch = Batch(images, images, values["target"].long()).rotated()
    assert objective(student, teacher, batch).total.item() == pytest.approx(values["loss_total"].item(), rel=1e-5)
    assert objective.prepare(None, teacher, batch).total.item() == pytest.approx(values["head_loss"].item(), rel=1e-5)


@pytest.mark.parametrize("other", ["crd", "wcord", "kd", "dkd"])
def test_a_term_beside_it_sees_the_upright_rows(other: str) -> None:
    torch.manual_seed(0)
    alone = build_objective(other, SETTING)
    beside = make(f"sskd+{other}")
    shared = {name: value for name, value in alone.state_dict().items() if name in beside.state_dict()}
    beside.load_state_dict(shared, strict=False)
    student, teacher, batch = features(6, 0.0), features(10, 1.0), rotated_batch()
    expected = parts(alone, student.first(4), teacher.first(4), batch.upright())
    found = parts(beside, student, teacher, batch)
    assert expected.keys() < found.keys()
    assert {name: found[name] for name in expected} == pytest.approx(expected)


def test_only_the_heads_train_each_in_its_stage() -> None:
    objective = make()
    term = objective.terms["sskd_similarity"]
    assert isinstance(term, SSKDSimilarityTerm)
    student, teacher, batch = features(6, 0.0), features(10, 1.0), rotated_batch()
    for side in (student, teacher):
        side.embedding.requires_grad_()
        side.logits.requires_grad_()
    objective.prepare(None, teacher, batch).total.backward()
    assert all(parameter.grad is not None for parameter in term.teacher_head.parameters())
    assert all(parameter.grad is None for parameter in term.student_head.parameters())
    assert teacher.embedding.grad is None
    assert objective.stage_parameters("preparation") == list(term.teacher_head.parameters())
    objective.zero_grad()
    objective(student, teacher, batch).total.backward()
    assert all(parameter.grad is None for parameter in term.teacher_head.parameters())
    assert all(parameter.grad is not None for parameter in term.student_head.parameters())
    assert teacher.embedding.grad is None
    assert teacher.logits.grad is None
    assert student.embedding.grad is not None
    assert objective.stage_parameters("main") == list(term.student_head.parameters())


def test_the_stage_has_the_published_length_and_rates() -> None:
    objective = make()
    assert objective.preparation is not None
    assert (objective.preparation.epochs, objective.preparation.student) == (60, False)
    stage = SSKDSimilarityTerm.preparation
    assert stage is not None
    rates = [stage.rate_at(epoch, 60, run=0.01) for epoch in (0, 29, 30, 44, 45, 59)]
    assert rates == pytest.approx([0.05, 0.05, 0.005, 0.005, 0.0005, 0.0005])


def test_each_method_of_a_sum_prepares_at_its_own_rate() -> None:
    torch.manual_seed(0)
    student, teacher = create_model("resnet8", num_classes=3), create_model("resnet14", num_classes=3)
    setting = observe(student, teacher, student_sample=torch.zeros(2, 3, 16, 16))
    groups = build_objective("sskd+ft", setting).stage_groups("preparation")
    assert list(groups) == [SSKDSimilarityTerm.preparation, 0.2]
    assert len(groups[SSKDSimilarityTerm.preparation]) == 4


def test_permuting_the_samples_and_swapping_turns_leave_all_parts() -> None:
    objective = make(keep_similarity=1.0)
    student, teacher, batch = features(6, 0.0), features(10, 1.0), rotated_batch()
    expected = parts(objective, student, teacher, batch)
    order = torch.tensor([2, 0, 3, 1])
    swapped = torch.arange(16)
    swapped[[5, 13]] = swapped[[13, 5]]
    for rows in (torch.cat([order + 4 * view for view in range(4)]), swapped):
        moved = [Features(side.logits[rows], side.embedding[rows]) for side in (student, teacher)]
        found = parts(objective, *moved, Batch(batch.student_input, batch.teacher_input, batch.target[rows],
                                               rotations=4))  # fmt: skip
        assert found == pytest.approx(expected, rel=1e-5)


def test_a_batch_in_one_pass_is_the_sum_of_no_halves_but_ranks_all_its_rows() -> None:
    """Rows are chosen, and similarities compared, over the whole batch: halves have fewer originals to compare."""
    term = SSKDTurnedTerm("t", SETTING)
    student, teacher, batch = features(6, 0.0), features(10, 1.0), rotated_batch()
    whole = term(student, teacher, batch).item()
    halves = [torch.cat([torch.arange(2) + at + 4 * view for view in range(4)]) for at in (0, 2)]
    means = [
        term(*(Features(side.logits[rows], side.embedding[rows]) for side in (student, teacher)),
             Batch(batch.student_input, batch.teacher_input, batch.target[rows], rotations=4)).item()
        for rows in halves
    ]  # fmt: skip
    assert sum(means) / 2 == pytest.approx(whole, rel=1e-5)  # all turned rows are kept


def test_its_options_reach_their_terms() -> None:
    known = {"temperature", "turned_temperature", "similarity_temperature", "keep_turned", "keep_similarity"}
    assert known < set(option_names("sskd"))
    resolved = resolved_options("sskd+kd", {"sskd": {"keep_turned": 0.5}})["sskd"]
    assert (resolved["keep_turned"], resolved["keep_similarity"], resolved["sskd_turned_weight"]) == (0.5, 0.75, 2.7)
    with pytest.raises(UsageError, match="option of sskd"):
        make(keep=0.5)
    with pytest.raises(UsageError, match="keep_turned must lie between 0 and 1, received 2"):
        make(keep_turned=2)(features(6, 0.0), features(10, 1.0), rotated_batch())


def test_rotations_are_asked_for_by_the_terms_that_remain() -> None:
    zero = {"sskd_turned_weight": 0, "sskd_similarity_weight": 0.0}
    assert needs_rotations("sskd+kd")
    assert not needs_rotations("wcord+kd")
    assert needs_rotations("sskd", {"sskd": {"sskd_turned_weight": 0}})
    assert not needs_rotations("sskd", {"sskd": zero})
    assert not make(**zero).rotations


def test_it_is_rehearsed_on_eight_rows() -> None:
    torch.manual_seed(0)
    student, teacher = create_model("resnet8", num_classes=3), create_model("resnet14", num_classes=3)
    images = torch.zeros(2, 3, 8, 8)
    setting = observe(student, teacher, student_sample=images)
    objective = build_objective("sskd+kd", setting)
    seen: list[int] = []
    handle = student.register_forward_hook(lambda module, args, output: seen.append(len(output)))
    rehearse(objective, student, teacher, images, images)
    handle.remove()
    assert seen == [8]
    broken = build_objective("sskd", setting, options={"sskd": {"keep_turned": 7}})
    with pytest.raises(UsageError, match="sskd_turned: keep_turned must lie between 0 and 1, received 7"):
        rehearse(broken, student, teacher, images, images)
    with pytest.raises(UsageError, match=r"turned by 90°, which needs square ones, received 8×6"):
        rehearse(objective, student, teacher, images[..., :6], images[..., :6])


def test_what_does_not_fit_is_refused_in_one_line() -> None:
    with pytest.raises(UsageError, match="sskd_kd compares logits, but the teacher has 7 classes and the student 5"):
        build_objective("sskd", Setting(6, 10, 5, 7))
    with pytest.raises(UsageError, match=r"sskd_turned learns from labels, .* leave out --no-labels"):
        build_objective("sskd", SETTING, labels=False)
    unlabelled = build_objective("sskd", SETTING, options={"sskd": {"sskd_turned_weight": 0}}, labels=False)
    assert set(unlabelled.weights) == {"sskd_kd", "sskd_similarity"}
    with pytest.raises(UsageError, match="at least 2, received batches of 1"):
        build_objective("sskd", Setting(6, 10, 5, 5, batch_size=1))
    with pytest.raises(UsageError, match="reads the class of each sample, which a mixture"):
        build_objective("sskd", Setting(6, 10, 5, 5, mixed=True))
    objective, upright = make(), features(6, 0.0).first(4)
    with pytest.raises(UsageError, match=r"sskd_turned compares turned views .* Batch.rotated\(\)"):
        objective(upright, upright, rotated_batch().upright())


def test_a_plain_loop_trains_both_stages() -> None:
    torch.manual_seed(0)
    student, teacher = create_model("resnet8", num_classes=3), create_model("resnet14", num_classes=3).eval()
    images, target = torch.rand(6, 3, 8, 8), torch.arange(6) % 3
    objective = build_objective("sskd", observe(student, teacher, student_sample=images))
    batch = Batch(images, images, target).rotated()
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    values = []
    with capture(student) as student_tap, capture(teacher) as teacher_tap:
        for stage in ("preparation", "main"):
            moved: list[nn.Parameter] = [*objective.stage_parameters(stage)]
            moved += [*student.parameters()] if stage == "main" else []
            optimizer = torch.optim.SGD(moved, lr=0.02)
            for _ in range(4):
                with torch.no_grad():
                    seen = teacher_tap(batch.teacher_input)
                if stage == "main":
                    report = objective(student_tap(batch.student_input), seen, batch)
                else:
                    report = objective.prepare(None, seen, batch)
                optimizer.zero_grad()
                report.total.backward()
                optimizer.step()
                values.append(report.total.item())
    assert values[3] < values[0]
    assert values[-1] < values[4]
    assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())


RUN: dict[str, Any] = {"method": "sskd+kd", "set": [], "preparation_epochs": 4, "epochs": 1, "lr": 0.02}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return distil(tmp_path_factory.mktemp("sskd") / "run", **RUN).run


@pytest.mark.parametrize("stop_after", [7, 22])
def test_a_run_stopped_in_either_stage_resumes_bit_for_bit(
    undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop_after: int
) -> None:
    stop_and_go_on(tmp_path / "run", monkeypatch, stop_after, **RUN)
    assert_same_run(undisturbed, tmp_path / "run")


def test_its_log_shows_the_rates_of_the_stage_and_its_part(undisturbed: Path) -> None:
    lines = [json.loads(line) for line in (undisturbed / "metrics.jsonl").read_text().splitlines()]
    rates = [line["lr"] for line in lines]
    assert rates == pytest.approx([0.05, 0.05, 0.005, 0.0005, 0.02])
    assert [list(line["parts"]) for line in lines[:4]] == [["sskd_similarity"]] * 4
    assert list(lines[-1]["parts"]) == ["ce", "sskd_kd", "sskd_turned", "sskd_similarity", "kd"]
    assert lines[3]["parts"]["sskd_similarity"] < lines[0]["parts"]["sskd_similarity"]


def test_the_first_stage_moves_the_teachers_head_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    states: dict[str, dict[str, Tensor]] = {}
    enter = Trainer._enter

    def noting(trainer: Trainer, stage: Any) -> None:
        networks = {"student": trainer.student, "teacher": trainer.teacher, "objective": trainer.objective}
        for name, module in networks.items():
            assert module is not None
            states[f"{name} {stage}"] = {key: value.clone() for key, value in module.state_dict().items()}
        enter(trainer, stage)

    monkeypatch.setattr(Trainer, "_enter", noting)
    distil(tmp_path / "run", **RUN)
    for module in ("student", "teacher", "objective"):
        before, after = states[f"{module} preparation"], states[f"{module} main"]
        moved = {name for name, value in before.items() if not torch.equal(value, after[name])}
        heads = {name for name in moved if name.startswith("terms.sskd_similarity.teacher_head.")}
        assert moved == heads
        assert len(moved) == (4 if module == "objective" else 0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"views": 2}, "a rotated batch holds four turned views of each sample, and --views 2 asks for others"),
        ({"image_size": "8x6"}, "the student's pictures are turned by 90°, which needs square ones, received 8×6"),
        ({"data": "sklearn:wine", "subset": None}, "needs pictures, received rows or tokens"),
    ],
)
def test_pictures_that_cannot_be_turned_are_refused(tmp_path: Path, settings: dict[str, object], message: str) -> None:
    networks = {"teacher": "mlp16x1", "student": "mlp16x1"} if "data" in settings else {}
    config = configure(DistillConfig, SMALL | RUN | {"out": tmp_path / "run"} | networks | settings)
    with pytest.raises(UsageError, match=message):
        prepare(config, Provided(), silent)
