"""The first stages of a contest run: look, hold back, shortlist, plan, train; each is a function of the contest."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from autopilot.contest import Contest, remedy_for
from autopilot.planning import Facts, PlannedRun, as_json, best_of, from_json, least_seconds, plan_runs, recipe_for
from common.errors import InputError, RunError
from common.files import to_json, write_text
from common.progress import clock
from configs.compose import compose, listed, parse_override
from configs.options import named_models
from data.inputs import find_inputs
from data.prepared import load_table
from training.run_folder import RunFolder

CLI = "cli/flower_cli.py"

# shares of the images; the test part is held back from every choice
TEST_SHARE, VAL_SHARE = 0.15, 0.15

# keys that the stages give; and those of the data that a user may give
_OWN_KEYS = ("seed", "output_dir", "competition", "dataset", "model", "training.max_minutes", "training.resume")
_DATA_KEYS = ("dataset.batch_size", "dataset.num_workers", "dataset.sampler", "dataset.loader_timeout")

# of all the time, for timing and probing models
_SHORTLIST_SHARE, _LEAST_PER_MODEL, _MOST_PER_MODEL = 0.08, 10, 120

_PROBE_IMAGES = 1500

_TOLD_REASONS = 3

# bytes
_ROOM_BESIDES = 2_000_000_000

# looking at labels: how often each image passes the network, and the largest share of all the time that it may take
_PASSES_OF_AN_AUDIT, _AUDIT_SHARE = 1.5, 0.05

# a training loses at most so much to a kill
_MINUTES_BETWEEN_SAVES = 0.5

_FEWEST_MINUTES = 0.1

# after the last training: processes that start, how many times as long as `split` they take for it, because they load
# networks too, and what remains of the proof and the report
_STARTS_AT_THE_END, _START_OF_A_NETWORK, _SECONDS_BESIDES = 12, 6, 30.0

_ROUNDS_OF_PLANNING = 3

# single files that `budget` and the gate time
_TIMED_FILES = 105


def check(contest: Contest) -> None:
    """Raise InputError for keys that no training could have, images that are not there, and a disk without room."""
    request = contest.request
    for text in listed(request.keys):
        key = parse_override(text).key_or_group
        if key in _OWN_KEYS or (key.startswith("dataset.") and key not in _DATA_KEYS):
            raise InputError(f"{text}: compete.py sets {key} itself. Leave it out; its flags are in its help.")
    # as strict as a training will be
    compose("config", ["training=finetune", "training.max_minutes=1", *request.training_keys])
    if request.test is not None:
        find_inputs([request.test])
    source = request.source
    files = source.rglob("*") if source.is_dir() else [source]
    # copies where links are not possible, checkpoints, exports and the ZIP
    wanted = sum(path.stat().st_size for path in files if path.is_file()) + _ROOM_BESIDES
    free = shutil.disk_usage(contest.folder).free
    if free < wanted and contest.journal.started("prepare") is None:
        raise InputError(
            f"{contest.folder}: its disk has {free / 1e9:.1f} GB free, and the run may need {wanted / 1e9:.1f} GB."
        )


def look(contest: Contest) -> None:
    """Prepare the data and say what is in it: classes, near-duplicates."""
    contest.line.enter("look")
    if contest.journal.ended("prepare") is None:
        # of an interrupted call
        shutil.rmtree(contest.data, ignore_errors=True)
    prepare = [CLI, "prepare-data", "--source", str(contest.request.source), "--output", str(contest.data), "--link"]
    contest.run("prepare", prepare)
    for line in contest.output_of("prepare"):
        if line.strip() and not line.startswith(("$", "Next:")):
            contest.line.say(f"  {line}")
    contest.run("audit", [CLI, "audit", f"dataset.root={contest.data}", "--output", str(contest.folder / "audit")])
    counts = class_counts(contest.data)
    contest.note(
        f"{sum(counts)} labelled images of {len(counts)} classes, {min(counts)} to {max(counts)} in each: "
        f"training={recipe_for(counts)}"
    )


def class_counts(data: Path) -> list[int]:
    """Return the images of each class of the prepared training table, with its corrections."""
    table = load_table(compose("config", [f"dataset.root={data}"]).dataset)
    labels = table.labels if table.val_rows is None else np.delete(table.labels, table.val_rows)
    return [count for count in np.bincount(labels).tolist() if count]


def hold_back(contest: Contest) -> None:
    """Divide the images: training, validation in two halves, and a test part that nothing selects on."""
    contest.line.enter("hold back")
    own_test = (contest.data / "test.csv").is_file()
    share = 0 if own_test else TEST_SHARE
    words = [f"dataset.root={contest.data}", f"dataset.test_split={share}", f"dataset.val_split={VAL_SHARE}"]
    if (contest.data / "val.csv").is_file():
        words = words[:-1]
    folder = [] if own_test else ["--test-folder"]
    contest.run("split", [CLI, "split", *folder, *words])
    contest.note(
        f"test part: {test_table(contest)}, {'labelled by the organisers' if own_test else 'held back'}; nothing is "
        "chosen on it"
    )


def test_table(contest: Contest) -> Path:
    """Return the table of the test part."""
    own = contest.data / "test.csv"
    return own if own.is_file() else contest.data / "part_test.csv"


def data_keys(contest: Contest) -> list[str]:
    """Return the keys of a run on the parts."""
    return [
        f"dataset.root={contest.data}",
        f"dataset.train_csv={contest.data / 'part_train.csv'}",
        f"dataset.val_csv={val_table(contest)}",
    ]


def val_table(contest: Contest) -> Path:
    """Return the table of validation images."""
    own = contest.data / "val.csv"
    return own if own.is_file() else contest.data / "part_val.csv"


def shortlist(contest: Contest) -> dict[str, Any]:
    """Measure which models can be used; return what the command has written."""
    contest.line.enter("shortlist")
    request, path = contest.request, contest.folder / "shortlist.json"
    models = ["--models", ",".join(request.models)] if request.models else []
    seconds = 3600 * _SHORTLIST_SHARE * request.hours / max(len(request.models), 4)
    per_model = int(min(max(seconds, _LEAST_PER_MODEL), _MOST_PER_MODEL))
    contest.run(
        "shortlist",
        [
            *(CLI, "shortlist", *models, "--images", str(_PROBE_IMAGES), "--seconds-per-model", str(per_model)),
            *("--json", str(path), *data_keys(contest), "training=finetune", "augmentation=medium"),
            *request.training_keys,
        ],
        # the command says with 1 that no model is in, and a crash ends with 1 too
        is_well=lambda code: code == 0 or (code == 1 and _names_all(path, request.models)),
    )
    found = json.loads(path.read_text(encoding="utf-8"))
    for row in found["models"]:
        contest.line.say(f"  {row['option']:<28} {_told(row)}")
    if not any(row["in"] for row in found["models"]):
        reasons = "; ".join(f"{row['option']}: {row['reason']}" for row in found["models"][:_TOLD_REASONS])
        raise InputError(
            f"No model keeps the limits with weights that can be had here ({reasons}). Put the file of a model into "
            "the folder weights/, or reach a hub."
        )
    return found


def _names_all(path: Path, models: Sequence[str]) -> bool:
    """Say whether a shortlist was written to its end."""
    if not path.is_file():
        return False
    listed = {row["option"] for row in json.loads(path.read_text(encoding="utf-8"))["models"]}
    return listed >= set(models or named_models())


def doubtful_labels(contest: Contest, found: dict[str, Any]) -> None:
    """List labels that the features of the best model doubt, if that takes little of the time. None is changed."""
    best = best_of(found["models"])
    images = sum(class_counts(contest.data))
    seconds = _PASSES_OF_AN_AUDIT * images * best["validation_seconds"] / count_rows(val_table(contest))
    if seconds > _AUDIT_SHARE * 3600 * contest.request.hours:
        contest.note(f"labels are not looked at, which would take {clock(seconds)}: flower_cli.py audit --label-errors")
        return
    words = [f"model={best['option']}", *best["keys"], f"model.input_size={best['input_size']}"]
    folder = contest.folder / "audit"
    audit = [CLI, "audit", "--label-errors", *words, f"dataset.root={contest.data}", "--output", str(folder)]
    outcome = contest.attempt("labels", [*audit, *contest.request.common_keys])
    if outcome.exit_code:
        contest.note(f"labels could not be looked at: {outcome.problem}")
    else:
        contest.note(f"near-duplicates and doubtful labels are listed in {folder}; nothing was removed")


def _told(row: dict[str, Any]) -> str:
    """Return what the shortlist says of a model, in words."""
    if not row["in"]:
        return f"out: {row['reason']}"
    notes = "".join(f"; {note}" for note in row["notes"])
    return f"in: probe {100 * row['probe_top1']:.1f} %, {row['images_per_second']:.3g} images/s{notes}"


def plan(contest: Contest, found: dict[str, Any]) -> list[PlannedRun]:
    """Return the plan: that of plan.json if there is one, which a user may have edited, else a new one."""
    contest.line.enter("plan")
    path = contest.folder / "plan.json"
    if not path.is_file():
        write_text(path, to_json(_new_plan(contest, found)))
    try:
        # with or without the mark that Windows' editors put before UTF-8
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not UTF-8. Save it as UTF-8.") from error
    except json.JSONDecodeError as error:
        raise InputError(f"{path}: is no JSON ({error}). Mend it, or delete it for a new plan.") from error
    runs = from_json(content, str(path))
    for run in runs:
        contest.line.say(f"  {run.name}: {run.minutes:g} minutes; {run.why}")
    contest.line.say(
        f"  then about {clock(end_seconds(contest, found, runs))} to choose and to deliver. The plan: {path}"
    )
    return runs


def _new_plan(contest: Contest, found: dict[str, Any]) -> dict[str, Any]:
    request = contest.request
    limits = compose("config", [f"competition={request.profile}", *request.limit_keys]).competition
    counts = class_counts(contest.data)
    used, runs = contest.journal.used_seconds(), []
    for _ in range(_ROUNDS_OF_PLANNING):
        # how long the end takes depends on what is trained, and the other way round
        end = end_seconds(contest, found, runs)
        seconds = 3600 * request.hours - used - end
        facts = Facts(
            models=found["models"],
            images=count_rows(contest.data / "part_train.csv"),
            max_megabytes=limits.max_model_mb,
            max_latency_ms=limits.max_latency_ms,
            on_cpu=found["device"].startswith("cpu"),
            seconds=seconds,
            recipe=recipe_for(counts),
        )
        least = least_seconds(facts)
        if seconds < least:
            raise InputError(
                f"{request.hours:g} hours are too few for one epoch, {clock(end)} to choose and to deliver, and what "
                f"was measured before. The least that works here is about {(used + end + least) / 3600:.2g} hours."
            )
        runs = plan_runs(facts)
    return as_json(runs, facts.recipe, request.hours)


def end_seconds(contest: Contest, found: dict[str, Any], runs: Sequence[PlannedRun] = ()) -> float:
    """Return about how long choosing and delivering take: starting the commands, and predicting with the models.

    Without `runs`, one run of the best model.
    """
    rows = {row["option"]: row for row in found["models"]}
    best = best_of(found["models"])
    models = [(run.model, run.size) for run in runs] or [(best["option"], best["input_size"])]
    of_a_file = of_an_image = 0.0
    for model, size in models:
        # a model that was not measured takes as long as the best one
        row = rows[model] if model in rows and rows[model]["in"] else best
        pixels = (size / row["input_size"]) ** 2
        of_a_file += pixels * row["latency_ms"] / 1000
        of_an_image += pixels * row["validation_seconds"] / count_rows(val_table(contest))
    # `budget` measures each model and, of several, their average, with one view and with two
    choosing = (3 if len(models) == 1 else 6) * (
        _TIMED_FILES * of_a_file + count_rows(contest.data / "part_choose.csv") * of_an_image
    )
    # two views: of the other half, also with a single one; of the test part; of the images to predict, and again by
    # the code of the ZIP from two folders
    images = 1.5 * count_rows(contest.data / "part_confirm.csv") + count_rows(test_table(contest))
    delivering = 2 * of_an_image * (images + 3 * count_files(folder_to_predict(contest))) + 2 * _TIMED_FILES * of_a_file
    if len(models) > 1:
        # their weights are fitted on the images that chose, with two views, and then predict them
        delivering += 4 * of_an_image * count_rows(contest.data / "part_choose.csv")
    start = _START_OF_A_NETWORK * (contest.journal.seconds_of("split") or 2.0)
    return _STARTS_AT_THE_END * start + _SECONDS_BESIDES + choosing + delivering


def count_rows(table: Path) -> int:
    """Return the rows of a table below its header; 0 without a table."""
    if not table.is_file():
        return 0
    with table.open(encoding="utf-8") as file:
        return sum(1 for _ in file) - 1


def folder_to_predict(contest: Contest) -> Path:
    """Return the folder of the images to predict: the one that was named, the source's own, else the held-back part."""
    own = contest.data / "test"
    return contest.request.test or (own if own.is_dir() else contest.data / "part_test")


def count_files(folder: Path) -> int:
    """Return the files in a folder and below."""
    return sum(path.is_file() for path in folder.rglob("*"))


def train(contest: Contest, runs: Sequence[PlannedRun], found: dict[str, Any]) -> list[str]:
    """Train each run of the plan; return the checkpoints. What a dropped run leaves of its time goes to the others."""
    contest.line.enter("train")
    end, spare, checkpoints = end_seconds(contest, found, runs) / 60, 0.0, []
    for place, run in enumerate(runs):
        later = runs[place:]
        most = (contest.left_seconds() / 60 - end) * run.minutes / sum(it.minutes for it in later)
        given = spare / len(later)
        spare -= given
        minutes = min(run.minutes + given, most)
        problem, used = _train_one(contest, run, "", [], minutes)
        words = remedy_for(problem) if problem else []
        again = "_again" if words else ""
        if words:
            contest.note(f"{run.name} failed: {problem} It is tried once more with {' '.join(words)}.")
            problem, more = _train_one(contest, run, again, words, minutes - used)
            used += more
        if problem:
            contest.note(f"{run.name} is dropped: {problem}")
            spare += max(minutes - used, 0.0)
        else:
            checkpoints.append(str(RunFolder(run_folder(contest, run.name + again)).best))
    if not checkpoints:
        raise RunError(f"No training has ended well; see {contest.folder / 'logs'}.")
    return checkpoints


def run_folder(contest: Contest, name: str) -> Path:
    """Return the folder of a training."""
    return contest.folder / "runs" / name


def _train_one(
    contest: Contest, run: PlannedRun, suffix: str, words: list[str], minutes: float
) -> tuple[str | None, float]:
    """Train a run; return what went wrong, None if nothing, and the minutes that it took."""
    step = f"train_{run.name}{suffix}"
    # a run that was begun keeps its minutes, which its state knows
    command = contest.journal.started(step) or [
        "train.py",
        *run.keys,
        *data_keys(contest),
        *contest.request.training_keys,
        f"training.max_minutes={max(minutes, _FEWEST_MINUTES):.2f}",
        f"training.checkpoint_every_minutes={_MINUTES_BETWEEN_SAVES}",
        "training.resume=auto",
        f"output_dir={run_folder(contest, run.name + suffix)}",
        *words,
    ]
    outcome = contest.attempt(step, command)
    return outcome.problem if outcome.exit_code else None, (contest.journal.seconds_of(step) or 0.0) / 60
