"""Teachers see images at their own size, on devices that cannot resize too; a run's own averages can be its teacher."""

# a None where a value should be fails the test like any other fault
# pyright: reportOptionalMemberAccess=false

import pytest
import torch

from training import distillation
from training.distillation import resized
from training.forward import Forward
from training.run import set_up_run
from training.start import fresh_state
from training.step import take_step


def test_a_device_that_cannot_resize_leaves_it_to_the_cpu(monkeypatch):
    images = torch.rand(2, 3, 8, 8)
    expected, interpolate, calls = resized(images, 5), distillation.interpolate, []

    def unknown_at_first(*arguments, **options):
        calls.append(arguments)
        if len(calls) == 1:
            raise NotImplementedError("The operator 'aten::_upsample_bilinear2d_aa.out' is not implemented for MPS")
        return interpolate(*arguments, **options)

    monkeypatch.setattr(distillation, "interpolate", unknown_at_first)
    assert torch.equal(resized(images, 5), expected)
    assert len(calls) == 2
    assert resized(images, 8) is images


@pytest.mark.integration
def test_the_runs_own_averages_teach_as_they_are_at_each_step(tiny):
    run = set_up_run(tiny("training.teacher=ema", "training.ema_decay=0.9", "training.learning_rate=0.1"))
    state, _ = fresh_state(run)
    images = torch.rand(2, 3, 32, 32) * 255
    saved = run.teacher.saved(torch.arange(2))
    answers = []
    forward = Forward(run, state).for_epoch()
    for batch in list(run.train_loader)[:3]:
        expected = state.shipped_model(images).softmax(dim=1)
        answers.append(run.teacher.probabilities(images, saved))
        assert torch.equal(answers[-1], expected)
        assert not answers[-1].requires_grad
        take_step(run, state, forward, [batch])
    assert not torch.allclose(answers[0], answers[2])
    assert not torch.allclose(state.model.eval()(images).softmax(dim=1), state.shipped_model(images).softmax(dim=1))
