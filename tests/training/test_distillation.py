"""Teachers see images at their own size, on devices that cannot resize too."""

import torch

from training import distillation
from training.distillation import resized


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
