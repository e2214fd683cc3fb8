"""Two ranks decide alike: what one of them finds stops the step on both."""

import contextlib
import os

import pytest
import torch
from torch import multiprocessing

from common import distributed
from common.device import Precision
from models.classifier import build_classifier
from tests.helpers import training_config
from training.findings import examine
from training.state import StepTotals, new_state

pytestmark = pytest.mark.slow

# loss of both ranks, their images, norm of the averaged gradients: what both must find (bad, images, bad losses)
CASES = {
    "good": ((1.0, 2.0), (3, 4), 1.0, [0, 7, 0]),
    "a loss of one": ((1.0, float("nan")), (3, 4), 1.0, [1, 7, 1]),
    "gradients": ((1.0, 2.0), (3, 4), float("inf"), [1, 7, 0]),
    "one without images": ((1.0, 0.0), (3, 0), 1.0, [0, 3, 0]),
    "both without images": ((0.0, 0.0), (0, 0), 0.0, [1, 0, 0]),
}


def examine_all(rank: int, folder: str) -> None:
    os.environ.update({"WORLD_SIZE": "2", "RANK": str(rank), "MASTER_ADDR": "127.0.0.1", "OMP_NUM_THREADS": "1"})
    torch.distributed.init_process_group("gloo", init_method=f"{folder}/meet", rank=rank, world_size=2)
    state = new_state(
        build_classifier("test_vit", 3, 64), training_config(), torch.device("cpu"), Precision("cpu", None)
    )
    for name, (losses, images, norm, expected) in CASES.items():
        totals = StepTotals(torch.tensor(losses[rank]), torch.zeros(()), images[rank])
        bad, findings = examine(state, totals, torch.tensor(norm))
        assert [bad.item(), *findings.read()[1:3]] == expected, name
    distributed.wait_for_all()
    with contextlib.suppress(RuntimeError):
        torch.distributed.destroy_process_group()


def test_ranks_find_the_same(tmp_path):
    multiprocessing.spawn(examine_all, (tmp_path.as_uri(),), nprocs=2)
