"""The words of a search: what is a range, what is a choice, and every mistake as one sentence."""

import pytest

from common.errors import InputError
from configs.compose import compose
from tools.search_space import Choice, Range, Space, check_space, read_space, used_words

RATE = "training.learning_rate=1e-4..1e-2"


def test_ranges_choices_and_fixed_words():
    words = ["dataset.root=../data", RATE, "training.epochs=2..5", "augmentation=light,medium"]
    words += ["training.mixup_alpha=0.1", "training.ema_decay=null,0.99", "dataset.batch_size=4..80"]
    words += ["training.start_mix=0..0.5"]
    assert read_space(words) == Space(
        ("dataset.root=../data", "training.mixup_alpha=0.1"),
        (
            Range("training.learning_rate", 1e-4, 1e-2, whole=False),
            Range("training.epochs", 2, 5, whole=True),
            Choice("augmentation", ("light", "medium")),
            Choice("training.ema_decay", ("null", "0.99")),
            Range("dataset.batch_size", 4, 80, whole=True),
            Range("training.start_mix", 0, 0.5, whole=False),
        ),
    )


@pytest.mark.parametrize(
    ("low", "high", "log"), [(1e-4, 1e-2, True), (0.1, 1, False), (0, 100, False), (0.1, 1.01, True), (-1, 100, False)]
)
def test_wide_ranges_above_zero_are_sampled_on_a_log_scale(low, high, log):
    assert Range("training.weight_decay", low, high, whole=False).log is log


def test_the_words_of_a_trial_stay_in_the_range_and_can_be_read():
    rate = Range("training.learning_rate", 0.12344, 0.23456, whole=False)
    assert [rate.word(value) for value in (0.12344, 0.2000049, 0.23456)] == [
        "training.learning_rate=0.12344",
        "training.learning_rate=0.2",
        "training.learning_rate=0.23456",
    ]
    assert Range("training.epochs", 1, 20000, whole=True).word(12345) == "training.epochs=12345"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["training.epochs=5"], "Nothing is searched"),
        ([], "Nothing is searched"),
        (["training.learning_rate=0.1..0.1"], "the smaller one"),
        (["training.learning_rate=0.2..0.1"], "the smaller one"),
        (["training.learning_rate=a..0.1"], "expected two numbers, as in training.learning_rate=0.1..0.5"),
        (["training.learning_rate=..0.1"], "expected two numbers"),
        (["training.learning_rate=0.1..inf"], "expected two numbers"),
        (["training.epochs=1..x"], "as in training.epochs=1..5"),
        (["training.epochs=1..2.5"], "whole numbers"),
        (["training.lerning_rate=1..2"], "Did you mean 'training.learning_rate'?"),
        (["training.lerning_rate=1,2"], "Did you mean 'training.learning_rate'?"),
        (["training.optimizer=1..2"], "takes no range of numbers"),
        (["training.use_amp=0..1"], "takes no range of numbers"),
        (["model=1..2"], "takes no range of numbers"),
        (["training.teacher=1..2"], "takes no range of numbers"),
        ([RATE, "training.learning_rate=1e-3"], "training.learning_rate: stands twice"),
        ([RATE, RATE], "training.learning_rate: stands twice"),
        (["augmentation=light,light"], "a value stands twice"),
        (["training.learning_rate=interval(0,1)"], "expected a range as in key=0.1..0.5"),
        (["seed=0,1"], "seed: decides which images validate"),
        (["dataset=demo,flower100"], "dataset: decides which images validate"),
        (["dataset.val_split=0.1..0.3"], "decides which images validate"),
        ([RATE, "output_dir=results"], "output_dir: the search sets it"),
        ([RATE, "training.resume=auto"], "training.resume: the search sets it"),
        (["training.learning_rate=0.1..11"], "training.learning_rate=11: expected more than 0"),
        (["augmentation=light,huge"], "augmentation=huge: no such option"),
        ([RATE, "training.final_epochs=no"], "a whole number"),
        (["training.label_smoothing=0..0.2"], "training.label_smoothing: would be ignored by every trial"),
        ([RATE, "training.focal_gamma=1"], "training.focal_gamma: would be ignored by every trial"),
    ],
)
def test_a_mistake_is_one_sentence(words, message):
    with pytest.raises(InputError) as caught:
        check_space(read_space(words))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_key_may_belong_to_one_of_the_choices():
    words = ["training.label_smoothing=0.05..0.2", "training.loss_function=cross_entropy,label_smoothing"]
    space = read_space(words)
    check_space(space)
    for loss, used in (("cross_entropy", False), ("label_smoothing", True)):
        given = space.words({"training.label_smoothing": 0.1, "training.loss_function": loss})
        kept = used_words(given, compose("config", given, allow_unused=True))
        assert ("training.label_smoothing=0.1" in kept) is used
        # the training script takes the words that are left
        compose("config", kept)
