"""summary.html: what was tried, what won, the curves, the honest figure, and what more hours would be for."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from autopilot.commands import shown
from autopilot.contest import FINISHED, Contest
from autopilot.first_stages import count_rows, test_table
from autopilot.last_stages import Decision
from autopilot.planning import PlannedRun
from common.errors import as_warning
from common.files import to_json, write_text
from common.progress import clock
from competition.report.document import Block, Code, Document, Heading, Paragraph, Picture, Table
from competition.report.figures.curves import curves_figure
from competition.report.html_report import to_html
from competition.report.records import read_csv_rows
from evaluation.figure_style import english
from evaluation.plots import save_figure
from training.run_folder import RunFolder


def write_summary(
    contest: Contest, found: dict[str, Any], runs: Sequence[PlannedRun], decision: Decision, delivered: dict[str, str]
) -> dict[str, Any]:
    """Write the page, and `finished.json` last; return what that holds."""
    metrics = json.loads((contest.folder / "evaluation" / "test" / "metrics.json").read_text(encoding="utf-8"))
    page = contest.folder / "summary.html"
    blocks = [
        *_result(contest, decision, metrics, delivered),
        *_tried(contest, runs),
        *_models(found),
        *_next_steps(contest, found, runs),
        *_commands(contest),
    ]
    subtitle = f"{clock(contest.journal.used_seconds())} of {contest.request.hours:g} hours, on {found['device']}"
    write_text(page, to_html(Document("Contest run", subtitle, "en", blocks)))
    result = {
        "test_top1": metrics["top1"],
        "test_interval": metrics["top1_interval"],
        "used_seconds": round(contest.journal.used_seconds(), 1),
        "summary": str(page),
        **delivered,
    }
    write_text(contest.folder / FINISHED, to_json(result))
    return result


def accuracy_text(top1: float, interval: Sequence[float] | None) -> str:
    """Return an accuracy with its interval, which too few images have not."""
    if interval is None:
        return f"{100 * top1:.2f} % (too few images for an interval)"
    low, high = interval
    return f"{100 * top1:.2f} % (95 %: {100 * low:.2f} to {100 * high:.2f})"


def _result(contest: Contest, decision: Decision, metrics: dict[str, Any], delivered: dict[str, str]) -> list[Block]:
    figure = accuracy_text(metrics["top1"], metrics["top1_interval"])
    rows = [
        ("top-1 on the test part, which chose nothing", figure),
        ("images of the test part", str(count_rows(test_table(contest)))),
        ("models", ", ".join(Path(path).parents[1].name for path in decision.checkpoints)),
        ("views", decision.views),
        ("chosen because", decision.why),
        ("ZIP", f"{delivered['submission']}, run as the judges do ({delivered['proof']})"),
        ("predictions", delivered["predictions"]),
        ("report", delivered["report"]),
    ]
    return [
        Heading("Result", "result"),
        Table("The honest figure, and what was delivered", ("what", "value"), rows),
        *[Paragraph(note) for note in contest.notes],
    ]


def _tried(contest: Contest, runs: Sequence[PlannedRun]) -> list[Block]:
    blocks: list[Block] = [Heading("What was trained", "trained")]
    rows, pictures = [], []
    for run in runs:
        folder = contest.folder / "runs" / run.name
        again = folder.with_name(f"{run.name}_again")
        folder = again if again.is_dir() else folder
        history = read_csv_rows(RunFolder(folder).history)
        best = max((float(row["val_top1"]) for row in history if row["val_top1"]), default=None)
        shown_best = "none" if best is None else f"{100 * best:.2f} %"
        rows.append((run.name, f"{run.minutes:g}", str(len(history)), shown_best, run.why))
        if len(history) > 1:
            path = folder / "curves.png"
            with as_warning(f"the picture {path}"):
                save_figure(curves_figure(history, english), path)
                pictures.append(Picture(path, f"Losses and validation accuracy of {run.name}"))
    header = ("run", "minutes planned", "epochs", "best validation top-1", "why")
    caption = "Validation figures are optimistic: the epoch was chosen by them"
    return [*blocks, Table(caption, header, rows), *pictures]


def _models(found: dict[str, Any]) -> list[Block]:
    def of(value: float | None, form: str) -> str:
        return "" if value is None else form.format(value)

    rows = [
        (
            row["option"],
            "in" if row["in"] else "out",
            of(row["probe_top1"] and 100 * row["probe_top1"], "{:.1f} %"),
            of(row["megabytes"], "{:.0f}"),
            of(row["latency_ms"], "{:.1f}"),
            of(row["images_per_second"], "{:.1f}"),
            row["reason"] or "; ".join(row["notes"]),
        )
        for row in found["models"]
    ]
    header = ("model", "", "probe top-1", "MB", "p95 ms", "images/s", "reason")
    return [Heading("Which models could be used", "models"), Table("The shortlist", header, rows)]


def _next_steps(contest: Contest, found: dict[str, Any], runs: Sequence[PlannedRun]) -> list[Block]:
    sentences = []
    lacking = [row["option"] for row in found["models"] if row["out_by"] == "weights"]
    if lacking:
        sentences.append(
            f"Out for want of weights: {', '.join(lacking)}. A reachable hub, a mirror in HF_ENDPOINT, or files in the "
            "folder weights/ would add them."
        )
    if found["device"].startswith("cpu"):
        sentences.append("This ran on a CPU. A GPU trains larger models at larger sizes in the same hours.")
    tried = {run.model for run in runs}
    others = [row["option"] for row in found["models"] if row["in"] and row["option"] not in tried]
    if others:
        sentences.append(f"With more hours: train {others[0]} as well, which was in but had no time.")
    sentences.append("With more hours: the same command with a larger number of them and another output folder.")
    audit = contest.folder / "audit"
    sentences.append(f"Look at {audit}: near-duplicates, and what else the data may have.")
    return [Heading("What to try next", "next"), *[Paragraph(sentence) for sentence in sentences]]


def _commands(contest: Contest) -> list[Block]:
    ended = [entry for entry in contest.journal.entries if entry["event"] == "end"]
    rows = [(entry["step"], clock(entry["seconds"]), str(entry["exit_code"])) for entry in ended]
    return [
        Heading("Everything that was run", "commands"),
        Table("Steps, in their order", ("step", "time", "exit code"), rows),
        Code("\n".join(shown(entry["command"]) for entry in ended)),
    ]
