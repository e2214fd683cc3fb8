"""The plan of a contest run, from the figures of a shortlist."""

import dataclasses

import pytest

from autopilot.first_stages import class_counts
from autopilot.planning import (
    ENOUGH_EPOCHS,
    Facts,
    as_json,
    from_json,
    least_seconds,
    plan_runs,
    recipe_for,
)
from common.errors import InputError
from data.corrections import DROP, KEEP, RELABEL, Decision, append_decisions
from data.table import write_table


def row(option, probe, family="efficientnet", megabytes=20.0, latency=10.0, speed=100.0, size=224):
    return {
        "option": option,
        "in": True,
        "reason": "",
        "keys": [],
        "input_size": size,
        "megabytes": megabytes,
        "latency_ms": latency,
        "images_per_second": speed,
        "validation_seconds": 1.0,
        "probe_top1": probe,
        "family": family,
    }


def facts(*models, seconds=3600.0, **changes):
    plain = Facts(models, images=1000, max_megabytes=500, max_latency_ms=100, on_cpu=False, seconds=seconds, recipe="r")
    return dataclasses.replace(plain, **changes)


BEST, OTHER = row("best", 0.9), row("other", 0.8, family="convnext")


def names(*arguments, **changes):
    return [run.name for run in plan_runs(facts(*arguments, **changes))]


def test_a_short_time_is_for_the_best_probe_alone():
    # 12 epochs at 224 px take two minutes and some seconds
    assert names(BEST, OTHER, seconds=150) == ["best_0"]


def test_more_time_is_for_another_family_then_for_seeds():
    assert names(BEST, OTHER, seconds=450) == ["best_0", "other_0"]
    assert names(BEST, OTHER, seconds=3600) == ["best_0", "other_0", "best_1", "other_1"]
    assert names(BEST, row("same", 0.8), seconds=450) == ["best_0", "best_1"]


@pytest.mark.parametrize("changed", [{"megabytes": 490.0}, {"latency": 95.0}])
def test_two_that_break_a_limit_together_are_not_averaged(changed):
    assert names(BEST, row("other", 0.8, family="convnext", **changed), seconds=450) == ["best_0", "best_1"]


def test_the_latency_of_a_cpu_excludes_no_second_model():
    slow = row("other", 0.8, family="convnext", latency=95.0)
    assert names(BEST, slow, seconds=450, on_cpu=True) == ["best_0", "other_0"]


@pytest.mark.parametrize("seconds", [20, 60, 150, 600])
def test_the_size_is_the_largest_with_enough_epochs(seconds):
    (run, *_) = plan_runs(facts(BEST, seconds=seconds))
    size = int(next(key.partition("=")[2] for key in run.keys if key.startswith("training.final_input_size=")))
    first = int(next(key.partition("=")[2] for key in run.keys if key.startswith("model.input_size=")))
    assert first <= size <= 320
    epochs = float(run.why.partition("about ")[2].partition(" ")[0])
    assert epochs >= ENOUGH_EPOCHS
    assert (size == 320) == (seconds >= 210)


def test_a_larger_size_must_keep_the_latency():
    # 60 ms at 224 px are 122 ms at 320 and 99 ms at 288
    (run, *_) = plan_runs(facts(row("best", 0.9, latency=60.0), seconds=3600))
    assert "training.final_input_size=288" in run.keys


def test_a_model_of_a_fixed_size_keeps_it():
    (run,) = plan_runs(facts(row("swin", 0.9, family="swin_transformer_v2"), seconds=60))
    assert {"model.input_size=224", "training.final_input_size=224"} <= set(run.keys)


def test_the_least_time_is_that_of_an_epoch_at_the_smallest_size():
    # 1,000 images at 64 px instead of 224, and a validation of a second
    assert least_seconds(facts(BEST)) == pytest.approx(11 * (64 / 224) ** 2, rel=0.3)


@pytest.mark.parametrize(
    ("counts", "recipe"),
    [([20, 20], "finetune"), ([5, 6], "finetune"), ([8, 24], "few_shot"), ([9, 100], "finetune"), ([1, 3], "few_shot")],
)
def test_uneven_data_with_rare_classes_get_their_recipe(counts, recipe):
    assert recipe_for(counts) == recipe


def test_a_plan_survives_its_file():
    runs = plan_runs(facts(BEST, OTHER))
    assert from_json(as_json(runs, "finetune", 1.0), "plan.json") == runs


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda plan: plan["runs"].clear(), "has no runs"),
        (lambda plan: plan["runs"][0].pop("minutes"), "each run needs name, model, size, keys, minutes and why"),
        (lambda plan: plan["runs"][0].update(minutes=0), "minutes must be above 0"),
        (lambda plan: plan["runs"][0].update(minutes=True), "minutes must be above 0"),
        (lambda plan: plan["runs"][0].update(name=".."), "the name of a run"),
        (lambda plan: plan["runs"][0].update(name=1), "the name of a run"),
        (lambda plan: plan["runs"][0].update(size="big"), "size must be a whole number"),
        (lambda plan: plan["runs"][0].update(keys="a=b"), "keys a list of texts"),
        (lambda plan: plan["runs"][0].update(name="other_0"), "two runs have the same name"),
        (lambda plan: plan.pop("runs"), "each run needs name"),
    ],
)
def test_a_wrong_edit_is_named(edit, words):
    plan = as_json(plan_runs(facts(BEST, OTHER)), "finetune", 1.0)
    edit(plan)
    with pytest.raises(InputError, match=f"plan.json.*{words}"):
        from_json(plan, "plan.json")


def test_the_recipe_counts_the_images_as_corrected(tmp_path):
    write_table(tmp_path / "train.csv", [f"{row}.jpg" for row in range(8)], [row % 2 for row in range(8)])
    (tmp_path / "train").mkdir()
    for row in range(8):
        (tmp_path / "train" / f"{row}.jpg").write_bytes(b"x")
    assert class_counts(tmp_path) == [4, 4]
    append_decisions(tmp_path, [Decision("0.jpg", DROP), Decision("2.jpg", RELABEL, 1), Decision("1.jpg", KEEP)])
    assert sorted(class_counts(tmp_path)) == [2, 5]
