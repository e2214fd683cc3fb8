"""Weights of members: what the fit finds, and that it says when it gains nothing."""

# a None where a value should be fails the test like any other fault
# pyright: reportOptionalSubscript=false

import numpy as np
import pytest

from cli.ensemble_text import describe_fit
from common.errors import InputError
from tools.ensemble import fit_members, mixture_weights


def predicted(labels, skill, generator):
    """Return probabilities (N, 4) of a member that is right, and sure of it, with probability `skill`."""
    labels_given = np.where(generator.random(len(labels)) < skill, labels, generator.integers(0, 4, len(labels)))
    return 0.1 + 0.6 * np.eye(4)[labels_given]


def test_the_mixture_has_the_least_log_loss():
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 4, 300)
    values = np.stack([predicted(labels, skill, generator) for skill in (0.9, 0.4)])
    weights = mixture_weights(values, labels)
    assert weights.sum() == pytest.approx(1)

    def loss(share):
        mixed = share * values[0] + (1 - share) * values[1]
        return -np.log(mixed[np.arange(300), labels]).mean()

    assert loss(weights[0]) <= min(loss(share) for share in np.linspace(0, 1, 201)) + 1e-6
    assert weights[0] > 0.7


def test_a_worthless_member_loses_its_weight_and_the_gain_is_said():
    generator = np.random.default_rng(1)
    labels = generator.integers(0, 4, 200)
    values = np.stack([predicted(labels, 0.9, generator), predicted(labels, 0, generator)])
    fit = fit_members(values, labels, "of a test")
    assert fit.weights[1] < 0.05
    assert fit.fitted_loss < fit.equal_loss
    assert fit.gain.points == pytest.approx(100 * (fit.fitted_top1 - fit.equal_top1))
    assert describe_fit(fit)[1] == f"log loss    equal {fit.equal_loss:.4f}, fitted {fit.fitted_loss:.4f}"


def test_weights_that_gain_nothing_are_not_used():
    generator = np.random.default_rng(2)
    labels = generator.integers(0, 4, 40)
    values = np.stack([predicted(labels, 0.6, generator) for _ in range(6)])
    fit = fit_members(values, labels, "of a test")
    assert fit.weights is None
    assert fit.fitted_loss >= fit.equal_loss
    assert "gain nothing" in describe_fit(fit)[-1]


def test_unreadable_images_are_left_out_of_the_fit():
    generator = np.random.default_rng(3)
    labels = generator.integers(0, 4, 50)
    values = np.stack([predicted(labels, skill, generator) for skill in (0.9, 0.2)])
    values[:, :20] = 0
    assert fit_members(values, labels, "of a test").images == 30
    with pytest.raises(InputError, match=r"5 labelled images .* are too few"):
        fit_members(values[:, 15:25], labels[15:25], "of a test")
