"""What a run recorded, read for its report. Missing records are None or empty, and the report leaves them out."""

import json
import shlex
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from common.errors import InputError
from competition.report.records import Records, find_records, read_csv_rows, read_json
from competition.report.request import check_trained
from configs.compose import compose, from_plain, leaves_of, read_plain, to_plain
from configs.options import OPEN_MODEL, READ_WITHOUT_TRAINING, UNTRAINED
from configs.schema import Config
from data.duplicates import HASHES_FILE, duplicate_groups
from data.prepared import load_table
from models.checkpoint import Checkpoint, load_checkpoint
from models.classifier import parameter_count, size_in_bytes
from training.run_folder import RunFolder


@dataclass(frozen=True)
class Answer:
    """One row of an evaluation: the true and the predicted label, and the confidence in the latter."""

    image_id: str
    label: int
    predicted: int
    confidence: float


@dataclass(frozen=True)
class Facts:
    """All facts of a report; `parameters`, `megabytes` (fp32, 10^6 bytes) and `gflops` are per model.

    `hits` bool (epochs, N) says which validation images each epoch has right, None if that was not kept. `abstention`
    are the rows of abstention.csv. `prepared` is summary.json of the data set, which may hold more images than the run
    used, and `near_duplicates` counts the images that have a near-duplicate. `ablation`, `tune` (trials), `budget`,
    `folds` (a cross-validation), `views` (a search) and `shortlist` (models that were compared before training) come
    from the folders that `found` names. `sha256` is that of the checkpoint, and `member_commands` train the other
    models of the predictions and of the evaluation, by their hashes, where their config.yaml can be read. `others` are
    further runs to compare with; they have none themselves. `notes` say where records were found, or why they were not
    used.
    """

    run: Path
    checkpoint: Checkpoint
    config: Config
    parameters: int
    megabytes: float
    gflops: float | None
    history: list[dict[str, str]]
    hits: np.ndarray | None
    skipped_images: int
    prepared: dict[str, Any] | None
    near_duplicates: int | None
    metrics: dict[str, Any] | None
    answers: list[Answer]
    per_class: list[dict[str, str]]
    abstention: list[dict[str, str]]
    proof: dict[str, Any] | None
    recipe: dict[str, Any] | None
    ablation: list[dict[str, str]]
    tune: list[dict[str, str]]
    budget: dict[str, Any] | None
    folds: dict[str, Any] | None
    views: dict[str, Any] | None
    shortlist: dict[str, Any] | None
    found: dict[str, Path]
    notes: list[str]
    train_command: str
    sha256: str
    member_commands: dict[str, str]
    others: tuple["Facts", ...] = ()

    @property
    def name(self) -> str:
        """The name of the run's folder."""
        return self.run.resolve().name

    @property
    def trained(self) -> bool:
        """False for a classifier on an unchanged backbone."""
        return self.config.training.name != UNTRAINED

    @property
    def submitted(self) -> list[dict[str, Any]]:
        """The checkpoints of the predictions as their record names them; none where nothing was predicted."""
        return list((self.recipe or {}).get("checkpoints", []))

    @property
    def is_too_slow(self) -> bool:
        """Whether the archive took more than the limit of an image when it was proven; False without a proof."""
        return self.proof is not None and self.proof["latency_ms"]["p95_ms"] > self.config.competition.max_latency_ms


def read_facts(run: Path, others: Sequence[Path] = ()) -> Facts:
    """Read the folder of a run, and those of `others` to compare it with.

    In the folder of a contest run its other trainings are compared too. Raises InputError if a folder has no trained
    model, or a damaged file.
    """
    facts = _read_run(run)
    siblings = others or contest_runs(run)
    return replace(facts, others=tuple(_read_run(path) for path in siblings))


def contest_runs(run: Path) -> list[Path]:
    """Return the other trainings of the contest run that `run` belongs to, sorted; none if it belongs to none."""
    if not (run.parent.parent / "request.json").is_file():
        return []
    folders = sorted(path for path in run.parent.iterdir() if path.name != run.name)
    return [path for path in folders if RunFolder(path).best.is_file()]


def _read_run(run: Path) -> Facts:
    folder = RunFolder(run)
    check_trained(run)
    checkpoint = load_checkpoint(folder.best)
    model = checkpoint.meta_model()
    config = from_plain(checkpoint.config, [], [], str(folder.best))
    records = find_records(run)
    recipe, metrics = records.read("recipe"), records.read("evaluation")
    return Facts(
        run=run,
        checkpoint=checkpoint,
        config=config,
        parameters=parameter_count(model),
        megabytes=size_in_bytes(model) / 1e6,
        gflops=_gflops(model, checkpoint.input_size),
        history=read_csv_rows(folder.history),
        hits=_read_hits(folder.validation_hits),
        skipped_images=len(read_csv_rows(folder.skipped_images)),
        prepared=_prepared(Path(config.dataset.root), checkpoint),
        near_duplicates=_near_duplicates(config),
        metrics=metrics,
        answers=[
            Answer(row["image_id"], int(row["label"]), int(row["predicted"]), float(row["confidence"]))
            for row in _table_of(records, "answers.csv")
        ],
        per_class=_table_of(records, "per_class.csv"),
        abstention=_table_of(records, "abstention.csv"),
        proof=records.read("proof"),
        recipe=recipe,
        ablation=records.table("ablation"),
        tune=records.table("tune"),
        budget=records.read("budget"),
        folds=records.read("folds"),
        views=records.read("views"),
        shortlist=records.read("shortlist"),
        found=records.found,
        notes=records.notes,
        train_command=train_command(config),
        sha256=records.sha256,
        member_commands=_member_commands([recipe, metrics], records.sha256),
    )


def _member_commands(records: Sequence[dict[str, Any] | None], own: str) -> dict[str, str]:
    """Return the commands that train the checkpoints which records name beside `own`, a hash, by their hashes."""
    commands = {}
    for entry in [entry for record in records for entry in (record or {}).get("checkpoints", [])]:
        written = RunFolder(Path(entry["path"]).parent.parent).config
        if entry.get("sha256", own) != own and written.is_file():
            with suppress(InputError, ValueError):
                commands[entry["sha256"]] = train_command(from_plain(read_plain(written), [], [], str(written)))
    return commands


def _table_of(records: Records, name: str) -> list[dict[str, str]]:
    return read_csv_rows(records.found["evaluation"] / name) if "evaluation" in records.found else []


def _read_hits(path: Path) -> np.ndarray | None:
    if not path.is_file():
        return None
    with np.load(path, allow_pickle=False) as saved:
        return saved["hits"]


def images_of(checkpoint: Checkpoint) -> int:
    """Return how many images a run split into its parts."""
    return sum(map(len, checkpoint.split.values()))


def _prepared(root: Path, checkpoint: Checkpoint) -> dict[str, Any] | None:
    """Return summary.json of prepare-data, unless it counts fewer images than the run used."""
    summary = read_json(root / "summary.json")
    return summary if summary and summary.get("images", 0) >= images_of(checkpoint) else None


def _near_duplicates(config: Config) -> int | None:
    """Return how many images of the run's table have a near-duplicate in it; None where no hashes are kept."""
    root = Path(config.dataset.root)
    if not (root / HASHES_FILE).is_file():
        return None
    with suppress(InputError):
        groups = duplicate_groups(load_table(config.dataset), root)
        sizes = np.unique(groups, return_counts=True)[1]
        return int(sizes[sizes > 1].sum())
    return None


def train_command(config: Config) -> str:
    """Return the command that trains with this config, or fits the classifier alone: its options, and the overrides."""
    trained = config.training.name != UNTRAINED
    groups = ("model", "training", "augmentation", "dataset") if trained else ("model", "dataset")
    words = [f"{group}={getattr(config, group).name}" for group in groups]
    if config.model.name == OPEN_MODEL:
        words.append(f"model.architecture={config.model.architecture}")
    default = dict(leaves_of(to_plain(compose("config", words))))
    for key, value in leaves_of(to_plain(config)):
        if default.get(key) != value and (_given_to_training(key) if trained else _given_to_instant(key)):
            words.append(f"{key}={shown_value(value)}")
    script = "python train.py" if trained else f"python cli/flower_cli.py instant --heads {config.model.head}"
    return " ".join([script, *map(shlex.quote, words)])


def _given_to_training(key: str) -> bool:
    # other transforms are in config.yaml, which the report names
    return not key.startswith(("augmentation.", "competition.", "output_dir"))


def _given_to_instant(key: str) -> bool:
    if key.startswith("training."):
        return key in READ_WITHOUT_TRAINING
    return _given_to_training(key) and key != "model.head"


def shown_value(value: Any) -> str:
    """Return a value as one types it: `3` for 3.0, `null`, `true`."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return json.dumps(value) if value is None or isinstance(value, bool) else str(value)


def _gflops(model: torch.nn.Module, input_size: int) -> float | None:
    """Return 10^9 floating-point operations per image (a multiply-add counts as two), counted by torch."""
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        model.eval()(torch.empty(1, 3, input_size, input_size, device="meta"))
    return counter.get_total_flops() / 1e9 or None
