"""The last stages of a contest run: choose models and views, measure them once, deliver."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autopilot.contest import Contest
from autopilot.first_stages import CLI, folder_to_predict, test_table


@dataclass(frozen=True)
class Decision:
    """What is delivered: checkpoints, views, runtime flags, the command's words that predict, and why."""

    checkpoints: list[str]
    views: str
    command: list[str]
    why: str


def choose(contest: Contest, checkpoints: Sequence[str]) -> Decision:
    """Choose models, views and runtime on one half of the validation images; confirm on the other half."""
    contest.line.enter("choose")
    request, budget = contest.request, contest.folder / "budget"
    limits = ["--profile", request.profile, *request.limit_keys]
    contest.run(
        "budget",
        [
            *(CLI, "budget", "--checkpoint", *checkpoints, "--data", str(contest.data / "part_choose.csv")),
            *("--tta", "identity", "--tta", "identity,hflip", "--no-exports", "--output", str(budget)),
            *(*limits, *request.common_keys),
        ],
        # the command says with 1 that nothing fits, and a crash ends with 1 too
        is_well=lambda code: code == 0 or (code == 1 and (budget / "budget.json").is_file()),
    )
    found = json.loads((budget / "budget.json").read_text(encoding="utf-8"))
    choices = found["choices"]
    for choice in choices:
        # a path may have spaces
        choice["paths"] = [path for path in checkpoints if Path(path).as_posix() in choice["models"]]
    fitting = [choice for choice in choices if choice["fits"]]
    if not fitting:
        contest.note("no choice keeps the latency on this machine, which is not the judges'; the fastest is taken")
    chosen = max(fitting, key=_rank) if fitting else min(choices, key=lambda choice: choice["p95_ms"])
    plain = max((choice for choice in choices if _is_plain(choice)), key=_rank)
    if len(chosen["paths"]) > 1:
        chosen["weights"] = _fitted_weights(contest, chosen)
    if chosen is not plain and not _is_confirmed(contest, chosen, plain):
        chosen = plain
        why = "a single model with one view, because the images that did not choose saw no gain from more"
    else:
        why = f"{100 * chosen['top1']:.2f} % of the images that chose, p95 {chosen['p95_ms']:.1f} ms"
    contest.note(f"chosen: {_named(chosen)}: {why}")
    decision = Decision(chosen["paths"], chosen["views"], _flags(chosen), why)
    _evaluate(contest, "test", chosen, test_table(contest))
    return decision


def _rank(choice: dict[str, Any]) -> tuple[float, float]:
    return choice["top1"], -choice["p95_ms"]


def _is_plain(choice: dict[str, Any]) -> bool:
    return len(choice["paths"]) == 1 and choice["views"] == "identity"


def _fitted_weights(contest: Contest, choice: dict[str, Any]) -> list[float]:
    """Return the weights of the models, fitted on the images that chose; none where equal ones are as good."""
    table, folder = contest.data / "part_choose.csv", contest.folder / "weights"
    words = ["--fit", "--data", str(table), "--input", str(table), "--output", str(folder / "predictions.csv")]
    contest.run("weights", ["ensemble.py", *_flags(choice), *words, *contest.request.common_keys])
    facts = json.loads((folder / "predictions.json").read_text(encoding="utf-8"))
    weights = [round(member["weight"], 4) for member in facts["checkpoints"]]
    return weights if len(set(weights)) > 1 else []


def _named(choice: dict[str, Any]) -> str:
    names = [Path(path).parents[1].name for path in choice["paths"]]
    weights = choice.get("weights")
    shown = f", weighted {' '.join(f'{weight:.3f}' for weight in weights)}" if weights else ""
    return f"{' + '.join(names)}{shown}, with views {choice['views']}"


def _flags(choice: dict[str, Any]) -> list[str]:
    """Return the words that name models, views and weights."""
    views = [] if choice["views"] == "identity" else ["--tta", choice["views"]]
    weights = ["--weights", *map(str, choice["weights"])] if choice.get("weights") else []
    return ["--checkpoint", *choice["paths"], *views, *weights]


def _is_confirmed(contest: Contest, chosen: dict[str, Any], plain: dict[str, Any]) -> bool:
    table = contest.data / "part_confirm.csv"
    better, simple = (_evaluate(contest, name, it, table) for name, it in (("confirm", chosen), ("plain", plain)))
    return better["top1"] >= simple["top1"]


def _evaluate(contest: Contest, name: str, choice: dict[str, Any], table: Path) -> dict[str, Any]:
    """Evaluate a choice on a table; return its metrics."""
    folder = contest.folder / "evaluation" / name
    words = ["--data", str(table), "--output-dir", str(folder), *contest.request.common_keys]
    contest.run(f"evaluate_{name}", ["evaluate.py", *_flags(choice), *words])
    return json.loads((folder / "metrics.json").read_text(encoding="utf-8"))


def deliver(contest: Contest, decision: Decision) -> dict[str, str]:
    """Predict the test images, check the rules, build and prove the ZIP, write the report; return where all is."""
    contest.line.enter("deliver")
    request, folder = contest.request, contest.folder
    predictions, submission = folder / "predictions.csv", folder / "submission.zip"
    test = folder_to_predict(contest)
    if test.name == "part_test":
        contest.note(f"the source has no images to predict, so the held-back ones are predicted: {test}")
    limits = ["--profile", request.profile, *request.limit_keys, *request.common_keys]
    contest.run(
        "predict",
        [
            *("inference.py", *decision.command, "--input", str(test), "--output", str(predictions)),
            *("--format", "official", *request.common_keys),
        ],
    )
    check = ["check_competition.py", "--predictions", str(predictions), *limits]
    if contest.run("check", check, lambda code: code in (0, 1)).exit_code:
        contest.note(f"the gate names a broken rule: {contest.log_of('check')}")
    contest.run(
        "submission",
        ["prepare_submission.py", "--predictions", str(predictions), "--output", str(submission), *limits],
    )
    report = [CLI, "report", "--run", str(Path(decision.checkpoints[0]).parents[1]), "--output", str(folder / "report")]
    outcome = contest.attempt("report", [*report, "--language", request.language])
    if outcome.exit_code:
        contest.note(f"the report could not be written: {outcome.problem}")
    return {
        "predictions": str(predictions),
        "submission": str(submission),
        "proof": str(folder / "submission_proof.json"),
        "report": str(folder / "report"),
        "checkpoints": " ".join(decision.checkpoints),
    }
