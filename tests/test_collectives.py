"""What two processes tell each other is what one would have computed."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist

from wcord import collectives

CPU = torch.device("cpu")
COUNTS = [3, 1]
WHOLE = torch.arange(8.0, dtype=torch.float64).view(4, 2) + 1


def said(rank: int) -> dict[str, Any]:
    """Return what one of two processes hears, which holds 3 rows of 4, or 1."""
    before = sum(COUNTS[:rank])
    rows = WHOLE[before : before + COUNTS[rank]].clone().requires_grad_()
    counts = collectives.row_counts(len(rows), CPU)
    gathered = collectives.gather_rows(rows, counts)
    # Each process weighs its loss by its share, as the training loop does before the gradients are averaged.
    (gathered.prod(0).sum() * (2 * len(rows) / len(WHOLE))).backward()
    torch.manual_seed(rank)
    own = torch.rand(3)
    with collectives.drawing_as_first(CPU):
        drawn = torch.rand(3)
    after = torch.rand(3)
    copied = torch.tensor([float(rank), 7.0])
    collectives.copy_from_first([copied])
    return {
        "processes": collectives.count(),
        "counts": counts,
        "gathered": gathered.detach(),
        "gradient": rows.grad,
        "numbers": collectives.gather_rows(torch.arange(COUNTS[rank]) + 10 * rank, counts),
        "half": collectives.gather_rows(rows.detach().bfloat16(), counts),
        "own": own,
        "drawn": drawn,
        "after": after,
        "total": collectives.total(torch.tensor([1.0, float(rank)], dtype=torch.float64), CPU),
        "largest": collectives.largest(5 - rank, CPU),
        "copied": copied,
    }


def one_of_two(rank: int, folder: Path) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    torch.save(said(rank), folder / f"{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def heard(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("two")
    both = [subprocess.Popen([sys.executable, __file__, str(rank), str(folder)]) for rank in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


def test_unequal_parts_are_gathered_in_the_order_of_ranks(heard: list[dict[str, Any]]) -> None:
    for one in heard:
        assert (one["processes"], one["counts"]) == (2, COUNTS)
        assert torch.equal(one["gathered"], WHOLE)
        assert one["numbers"].tolist() == [0, 1, 2, 10]
        assert torch.equal(one["half"], WHOLE.bfloat16())


def test_the_average_of_the_gradients_is_the_gradient_of_the_whole(heard: list[dict[str, Any]]) -> None:
    whole = WHOLE.clone().requires_grad_()
    whole.prod(0).sum().backward()
    # A weight that multiplies all rows would get the sum over processes, averaged: half of each part's gradient.
    parts = torch.cat([one["gradient"] for one in heard]) / 2
    torch.testing.assert_close(parts, whole.grad)


def test_all_draw_as_the_first_and_go_on_with_their_own_numbers(heard: list[dict[str, Any]]) -> None:
    torch.manual_seed(0)
    first = torch.rand(9).view(3, 3)
    torch.manual_seed(1)
    second = torch.rand(6).view(2, 3)
    for name, expected in zip(("own", "drawn", "after"), first, strict=True):
        assert torch.equal(heard[0][name], expected)
    assert torch.equal(heard[1]["drawn"], first[1])
    assert torch.equal(heard[1]["own"], second[0])
    assert torch.equal(heard[1]["after"], second[1])


def test_sums_the_largest_and_copies_are_alike_everywhere(heard: list[dict[str, Any]]) -> None:
    for one in heard:
        assert one["total"].tolist() == [2.0, 1.0]
        assert one["largest"] == 5
        assert one["copied"].tolist() == [0.0, 7.0]


def test_one_process_alone_tells_itself_what_it_has() -> None:
    rows = torch.rand(2, 3)
    assert collectives.gather_rows(rows, collectives.row_counts(2, CPU)) is rows
    torch.manual_seed(4)
    with collectives.drawing_as_first(CPU):
        drawn = torch.rand(2)
    torch.manual_seed(4)
    assert torch.equal(drawn, torch.rand(2))


if __name__ == "__main__":  # as one of the two
    one_of_two(int(sys.argv[1]), Path(sys.argv[2]))
