"""What the tab Runs shows, as HTML and table rows; knows nothing of gradio."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common.errors import InputError
from evaluation.recorded import FOLDER
from studio import html_parts as html
from studio.context import Studio
from studio.run_answers import Pair, RunAnswers, compare_pairs, read_answers
from studio.run_curves import curve_source
from studio.run_list import CURVES, RunEntry, find_runs, read_run
from studio.run_styles import legend
from studio.texts import Say

# it differs between all runs
_OUTPUT = "output_dir"

_NOTHING = "–"


def list_runs(studio: Studio) -> tuple[list[RunEntry], list[str]]:
    """Return the runs below the studio's folder of runs, the newest first, and what could not be read."""
    found, problems = find_runs(studio.runs, studio.results)
    runs = [read_run(name, folder) for name, folder in found.items()]
    runs.sort(key=lambda run: run.changed, reverse=True)
    return runs, problems + [f"{run.name}: {problem}" for run in runs for problem in run.problems]


def run_rows(runs: Sequence[RunEntry], say: Say) -> list[list[Any]]:
    """Return the cells of the table for each run, as `COLUMNS` of the tab names them; accuracies in per cent."""
    return [
        [
            run.name,
            f"{run.changed:%Y-%m-%d %H:%M}",
            run.model or _NOTHING,
            run.input_size or _NOTHING,
            _epochs(run),
            _per_cent(run.corrected_top1),
            _per_cent(run.measured_top1),
            _minutes(run),
            say(_state(run)),
        ]
        for run in runs
    ]


def compared_html(studio: Studio, names: Sequence[str]) -> str:
    """Return curves, differing keys and pairs of the runs with these names, in their order."""
    found, _ = find_runs(studio.runs, studio.results)
    runs = [read_run(name, found[name]) for name in names if name in found]
    if not runs:
        return html.note(studio.say("choose_runs"))
    return curves_html(runs, studio.say) + keys_html(runs, studio.say) + pairs_html(runs, studio.say)


def curves_html(runs: Sequence[RunEntry], say: Say) -> str:
    """Return the curves over each other, with a legend of whole names."""
    figures = []
    for column in CURVES:
        source = curve_source(runs, column, 100 if column == "val_top1" else 1)
        shown = html.note(say("no_curve")) if source is None else html.image(source, "kit-curve", say(column))
        figures.append(f"<figure><figcaption>{say(column)}</figcaption>{shown}</figure>")
    names = [run.name if run.history else say("no_epoch", run=run.name) for run in runs]
    notes = html.note(say("curves_note"))
    return f'<h3>{say("curves")}</h3>{legend(names)}<div class="kit-curves">{"".join(figures)}</div>{notes}'


def keys_html(runs: Sequence[RunEntry], say: Say) -> str:
    """Return the keys of config.yaml that are not the same in all runs."""
    title = f"<h3>{say('differing_keys')}</h3>"
    with_config = [run for run in runs if run.config]
    missing = "".join(html.problem(say("no_config", run=run.name)) for run in runs if not run.config)
    if len(with_config) < 2:
        return title + missing + html.note(say("choose_two"))
    rows = differing_keys([run.config for run in with_config])
    table = html.table(rows, (say("key"), *(run.name for run in with_config))) if rows else html.note(say("same_keys"))
    return title + missing + html.scrolled(table) + html.note(say("output_left_out"))


def differing_keys(configs: Sequence[dict[str, Any]]) -> list[tuple[str, ...]]:
    """Return each key whose value is not the same in all configs, with its values; a dash where it is missing."""
    names = dict.fromkeys(name for config in configs for name in config if name != _OUTPUT)
    rows = [(name, *(_value(config[name]) if name in config else _NOTHING for config in configs)) for name in names]
    return [row for row in rows if len(set(row[1:])) > 1]


def pairs_html(runs: Sequence[RunEntry], say: Say) -> str:
    """Return how the answers of each two runs differ, and which command makes those that are missing."""
    title = f"<h3>{say('pairs')}</h3>"
    if len(runs) < 2:
        return title + html.note(say("choose_two"))
    answers: list[RunAnswers] = []
    told = []
    for run in runs:
        try:
            own = read_answers(run)
        except InputError as error:
            told.append(html.problem(f"{run.name}: {error}"))
            continue
        if own is None:
            told.append(_missing(run, say))
        else:
            answers.append(own)
    pairs, apart, problems = compare_pairs(answers)
    told += [html.note(say("no_shared", first=first, second=second)) for first, second in apart]
    told += [html.problem(problem) for problem in problems]
    return title + (_pair_table(pairs, say) if pairs else "") + "".join(told)


def _missing(run: RunEntry, say: Say) -> str:
    if run.checkpoint is None:
        return html.note(say("no_model_of_run", run=run.name))
    command = f"python evaluate.py --checkpoint {_word(run.folder.best)} --output-dir {_word(run.folder.root / FOLDER)}"
    return html.note(say("no_answers", run=run.name)) + html.code(command)


def _pair_table(pairs: Sequence[Pair], say: Say) -> str:
    header = ("pair", "images", "disagreement", "both_wrong", "top1_each", "either_right", "room")
    rows = [
        (
            f"{pair.first} + {pair.second}",
            str(pair.images),
            _share(pair.disagreement),
            _share(pair.both_wrong),
            f"{_share(pair.first_top1)} · {_share(pair.second_top1)}",
            say(
                "with_interval",
                value=_share(pair.either_right),
                low=100 * pair.interval[0],
                high=100 * pair.interval[1],
            ),
            _share(pair.room),
        )
        for pair in pairs
    ]
    return html.scrolled(html.table(rows, [say(key) for key in header])) + html.note(say("pairs_note"))


def _epochs(run: RunEntry) -> str:
    if not run.trained:
        return _NOTHING
    planned = run.config.get("training.epochs", _NOTHING)
    return f"{len(run.history)} / {f'{planned:g}' if isinstance(planned, float) else planned}"


def _minutes(run: RunEntry) -> str:
    minutes, whole = run.minutes
    return f"{'' if whole else '≥ '}{minutes:.1f}" if run.history else _NOTHING


def _state(run: RunEntry) -> str:
    if run.problems:
        return "damaged"
    return {True: "finished", False: "unfinished", None: "unknown"}[run.finished]


def _per_cent(share: float | None) -> float | None:
    return None if share is None else round(100 * share, 2)


def _share(share: float) -> str:
    return f"{100 * share:.1f} %"


def _value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _word(path: Path) -> str:
    text = str(path)
    return f'"{text}"' if " " in text else text
