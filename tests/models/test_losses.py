"""Losses against independent float64 computations, and their gradients against numeric ones."""

# a None where a value should be fails the test like any other fault
# pyright: reportArgumentType=false, reportOptionalMemberAccess=false, reportOptionalSubscript=false

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from common.errors import InputError
from configs.validate import CHOICES
from models.losses import (
    LOSSES,
    BalancedSoftmaxCrossEntropy,
    BinaryCrossEntropy,
    ClassBalancedFocalLoss,
    CrossEntropy,
    FocalLoss,
    LabelSmoothingCrossEntropy,
    LogitAdjustedCrossEntropy,
    distillation_loss,
    get_loss_function,
)
from tests.helpers import training_config

GENERATOR = np.random.default_rng(0)
LOGITS = GENERATOR.normal(0, 2, (6, 5))
LABELS = np.array([0, 4, 2, 2, 1, 3])
HARD = np.eye(5)[LABELS]
SOFT = GENERATOR.dirichlet(np.ones(5), 6)
COUNTS = [50, 20, 10, 5, 1]


def log_p(logits=LOGITS):
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


def smooth(targets, share):
    return targets * (1 - share) + share / 5


def focal(targets, alpha, gamma):
    p = np.exp(log_p())
    return -(targets * alpha * (1 - p) ** gamma * log_p()).sum(axis=1).mean()


def binary(targets):
    p = 1 / (1 + np.exp(-LOGITS))
    return -(targets * np.log(p) + (1 - targets) * np.log(1 - p)).sum(axis=1).mean()


def adjusted(targets, tau):
    prior = np.array(COUNTS) / sum(COUNTS)
    return -(targets * log_p(LOGITS + tau * np.log(prior))).sum(axis=1).mean()


ALPHAS = [0.1, 0.5, 1.0, 2.0, 0.25]
CASES = {
    "cross entropy": (CrossEntropy(), lambda t: -(t * log_p()).sum(axis=1).mean()),
    "smoothing": (LabelSmoothingCrossEntropy(0.1), lambda t: -(smooth(t, 0.1) * log_p()).sum(axis=1).mean()),
    "focal": (FocalLoss(0.25, 2.0), lambda t: focal(t, 0.25, 2.0)),
    "focal gamma half": (FocalLoss(1.0, 0.5), lambda t: focal(t, 1.0, 0.5)),
    "focal per class": (FocalLoss(ALPHAS, 3.0), lambda t: focal(t, np.array(ALPHAS), 3.0)),
    "focal smoothed": (FocalLoss(0.25, 2.0, 0.1), lambda t: focal(smooth(t, 0.1), 0.25, 2.0)),
    "binary": (BinaryCrossEntropy(0.1), lambda t: binary(smooth(t, 0.1))),
    "adjusted": (LogitAdjustedCrossEntropy(COUNTS, 1.5, 0.1), lambda t: adjusted(smooth(t, 0.1), 1.5)),
    "balanced": (BalancedSoftmaxCrossEntropy(COUNTS), lambda t: adjusted(t, 1.0)),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("targets", ["labels", "one hot", "soft"])
def test_values_equal_an_independent_computation(name, targets):
    loss, expected = CASES[name]
    given = {"labels": torch.tensor(LABELS), "one hot": torch.tensor(HARD), "soft": torch.tensor(SOFT)}[targets]
    reference = expected(SOFT if targets == "soft" else HARD)
    assert loss(torch.tensor(LOGITS), given).item() == pytest.approx(reference, rel=1e-5)


@pytest.mark.parametrize("name", CASES)
def test_gradients_equal_numeric_ones(name):
    loss, _ = CASES[name]
    logits, step = torch.tensor(LOGITS, dtype=torch.float32, requires_grad=True), 1e-2
    loss(logits, torch.tensor(SOFT)).backward()
    for row, column in [(0, 0), (2, 3), (5, 4)]:
        shifted = [LOGITS.copy(), LOGITS.copy()]
        shifted[0][row, column] += step
        shifted[1][row, column] -= step
        upper, lower = (loss(torch.tensor(values), torch.tensor(SOFT)).item() for values in shifted)
        assert logits.grad[row, column].item() == pytest.approx((upper - lower) / (2 * step), abs=2e-4)


def test_gamma_zero_and_alpha_one_is_cross_entropy():
    logits, labels = torch.tensor(LOGITS), torch.tensor(LABELS)
    assert torch.equal(FocalLoss(1.0, 0.0)(logits, labels), CrossEntropy()(logits, labels))


def test_focal_of_the_papers_example():
    # p = 0.9, gamma 2: a hundred times less than cross-entropy (Lin et al. 2017, section 3.2)
    logits = torch.log(torch.tensor([[0.9, 0.1]]))
    label = torch.tensor([0])
    assert (FocalLoss(1.0, 2.0)(logits, label) / CrossEntropy()(logits, label)).item() == pytest.approx(0.01, rel=1e-4)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("size", [1.0, 100.0, 3e4])
def test_low_precision_and_extreme_logits_stay_finite(name, dtype, size):
    logits = (torch.tensor(LOGITS).sign() * size).to(dtype).requires_grad_()
    loss = CASES[name][0](logits, torch.tensor(LABELS))
    loss.backward()
    assert loss.dtype == torch.float32
    assert torch.isfinite(loss)
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
def test_focal_gradient_at_certainty_is_finite(gamma):
    logits = torch.tensor([[200.0, 0.0]], requires_grad=True)
    FocalLoss(1.0, gamma)(logits, torch.tensor([0])).backward()
    assert torch.isfinite(logits.grad).all()


def test_a_class_without_images_gives_no_nan():
    loss = BalancedSoftmaxCrossEntropy([10, 0])(torch.zeros(1, 2), torch.tensor([1]))
    assert torch.isfinite(loss)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("cross_entropy", CrossEntropy),
        ("label_smoothing", LabelSmoothingCrossEntropy),
        ("focal", FocalLoss),
        ("class_balanced_focal", ClassBalancedFocalLoss),
        ("bce", BinaryCrossEntropy),
        ("logit_adjusted", LogitAdjustedCrossEntropy),
        ("balanced_softmax", BalancedSoftmaxCrossEntropy),
    ],
)
def test_each_name_gives_its_loss(name, kind):
    assert type(get_loss_function(training_config(loss_function=name), COUNTS)) is kind


def test_the_config_accepts_exactly_the_losses_that_there_are():
    assert tuple(LOSSES) == CHOICES["training.loss_function"]


def test_plain_cross_entropy_does_not_smooth():
    loss = get_loss_function(training_config(label_smoothing=0.3), COUNTS)
    assert loss(torch.tensor(LOGITS), torch.tensor(LABELS)).item() == pytest.approx(
        -(HARD * log_p()).sum(axis=1).mean()
    )


def test_faults_name_their_key():
    with pytest.raises(InputError, match=r"training\.focal_alpha: 2 weights for 5 classes"):
        get_loss_function(training_config(loss_function="focal", focal_alpha=[0.1, 0.2]), COUNTS)
    with pytest.raises(InputError, match=r"training\.loss_function=hinge: choose from cross_entropy"):
        get_loss_function(training_config(loss_function="hinge"), COUNTS)


def test_class_balanced_weights_are_those_of_the_effective_number():
    loss = ClassBalancedFocalLoss([100, 10, 1, 0], beta=0.9, gamma=0.0)
    weights = torch.tensor([(1 - 0.9) / (1 - 0.9**count) for count in (100, 10, 1, 1)])
    torch.testing.assert_close(loss.alpha, weights / weights.mean())
    logits, labels = torch.randn(6, 4, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 2, 0, 1, 2])
    expected = (loss.alpha[labels] * cross_entropy(logits, labels, reduction="none")).mean()
    torch.testing.assert_close(loss(logits, labels), expected)


def test_distillation_is_nothing_where_student_and_teacher_agree():
    logits = torch.randn(5, 7, generator=torch.Generator().manual_seed(0), requires_grad=True)
    loss = distillation_loss(logits, logits.detach().softmax(dim=1), temperature=3.0, hard_labels=False)
    loss.backward()
    assert abs(loss.item()) < 1e-5
    assert logits.grad.abs().max() < 1e-5


def test_distillation_is_the_tempered_divergence_by_definition():
    generator = torch.Generator().manual_seed(0)
    student, teacher = torch.randn(5, 7, generator=generator), torch.randn(5, 7, generator=generator)
    p, q = (teacher / 2).softmax(dim=1), (student / 2).softmax(dim=1)
    expected = 4 * (p * (p.log() - q.log())).sum(dim=1).mean()
    torch.testing.assert_close(distillation_loss(student, teacher.softmax(dim=1), 2.0, hard_labels=False), expected)


def test_hard_distillation_is_cross_entropy_with_the_teachers_answer():
    generator = torch.Generator().manual_seed(0)
    student, teacher = torch.randn(5, 7, generator=generator), torch.randn(5, 7, generator=generator)
    expected = cross_entropy(student, teacher.argmax(dim=1))
    torch.testing.assert_close(distillation_loss(student, teacher.softmax(dim=1), 2.0, hard_labels=True), expected)


@pytest.mark.parametrize("name", LOSSES)
def test_mixed_precision_does_not_change_a_loss(name):
    config = training_config(loss_function=name)
    logits = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    targets = torch.randn(6, 4, generator=torch.Generator().manual_seed(1)).softmax(dim=1)
    loss = get_loss_function(config, [5, 3, 2, 1])
    teacher = targets.roll(1, dims=0)
    expected = loss(logits, targets), distillation_loss(logits, teacher, 2.0, hard_labels=False)
    for dtype in (torch.bfloat16, torch.float16):
        with torch.autocast("cpu", dtype=dtype):
            assert torch.equal(loss(logits, targets), expected[0])
            assert torch.equal(distillation_loss(logits, teacher, 2.0, hard_labels=False), expected[1])
