"""What last.pt holds keeps its names, so that a run of an earlier version can go on."""

import pytest
import torch

from common.device import Precision
from common.errors import InputError
from models.classifier import build_classifier
from tests.helpers import training_config
from training.state import new_state

# a newer version may add names, but not take any away
NAMES = {
    "model",
    "ema",
    "optimizer",
    "scaler",
    "sums",
    "images",
    "history",
    "skipped",
    "epoch",
    "batch",
    "step",
    "seconds",
    "best_top1",
    "best_epoch",
    "epochs_without_gain",
    "bad_steps",
    "skipped_steps",
    "splits",
    "wall_seconds",
    "best_answers",
    "start",
    "validation_hits",
    "lowered_scales",
    "lowered_in_epoch",
    "used_seconds",
    "times",
    "shortening",
}
LATER = (
    "used_seconds",
    "times",
    "shortening",
    "lowered_scales",
    "lowered_in_epoch",
    "wall_seconds",
    "best_answers",
    "validation_hits",
    "start",
)


def state_of(dtype=None, **options):
    torch.manual_seed(0)
    model = build_classifier("test_resnet.r160_in1k", 4, 32)
    return new_state(model, training_config(**options), torch.device("cpu"), Precision("cpu", dtype))


def test_the_names_in_last_pt_stay():
    assert set(state_of().to_dict()) == NAMES


def test_a_state_comes_back_under_its_old_names():
    state = state_of()
    state.step, state.parts_per_micro_batch, state.best_top1 = 7, 4, 0.5
    saved = state.to_dict()
    other = state_of()
    other.load_dict(saved)
    assert (saved["splits"], saved["step"]) == (4, 7)
    assert (other.step, other.parts_per_micro_batch, other.best_top1) == (7, 4, 0.5)


def test_a_state_without_the_later_names_is_read():
    saved = {name: value for name, value in state_of().to_dict().items() if name not in LATER}
    other = state_of()
    other.lowered_scales, other.wall_seconds = 3, 4.0
    other.load_dict(saved)
    assert (other.lowered_scales, other.lowered_in_epoch, other.wall_seconds, other.best_answers) == (0, 0, 0, None)


def test_a_state_of_another_precision_is_read():
    saved = state_of().to_dict()
    assert saved["scaler"] == {}
    other = state_of(dtype=torch.float16)
    other.load_dict(saved)
    assert other.scaler.get_scale() == 2**12
    plain = state_of()
    plain.load_dict(other.to_dict())
    assert not plain.scaler.is_enabled()


def test_a_state_that_lacks_a_part_is_refused():
    saved = state_of().to_dict()
    del saved["sums"]
    with pytest.raises(InputError, match="does not fit this model"):
        state_of().load_dict(saved)


def test_the_ema_follows_the_weights_only_if_the_run_averages():
    state = state_of(ema_decay=0.5)
    averaged = [value.clone() for value in state.shipped_model.parameters()]
    with torch.no_grad():
        for value in state.model.parameters():
            value.add_(1)
    state.update_ema()
    assert all(not torch.equal(old, new) for old, new in zip(averaged, state.shipped_model.parameters(), strict=True))
    plain = state_of(ema_decay=None)
    plain.update_ema()
    assert plain.shipped_model is plain.model
