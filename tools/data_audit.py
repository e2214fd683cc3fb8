"""Data audit: copies, copies with different labels, and labels that look wrong."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common.csv_files import read_rows, write_rows
from common.errors import InputError
from common.files import as_path, check_writable, check_writable_folder
from configs.schema import Config
from data.duplicates import PAIR_COLUMNS, PAIRS_FILE, image_hashes, near_duplicates, read_pairs
from data.prepared import load_table
from data.table import ImageTable
from prediction.logits import softmax
from tools.label_errors import LABEL_ERROR_COLUMNS, LABEL_ERRORS, SAME_PICTURE, SURE_OF_ANOTHER
from training.features import Features, frozen_features
from training.linear_probe import choose_regularisation, out_of_fold_logits
from training.run import set_up_run
from training.start import pretrained_model

# cosine of centred features; set so that pairs are copies or frames of one series, not flowers of one species
MIN_COSINE = 0.95

_BLOCK = 1024


@dataclass(frozen=True)
class DuplicatePair:
    """Two images (rows of the table) that look the same, and how they were found, as in `hash, 3 bits of 256`."""

    first: int
    second: int
    found_by: str


@dataclass(frozen=True)
class Suspect:
    """An image (row of the table) whose label is doubtful: the label suggested, both probabilities, and why."""

    row: int
    suggested: int
    given_probability: float
    suggested_probability: float
    reason: str


@dataclass(frozen=True)
class Audit:
    """What was found in a table: near-duplicates, and doubtful labels, the most doubtful first.

    `readable` counts images. `contradictory` are the pairs whose labels differ. `new_pairs` counts those that the
    embedding alone found and that were added to `pairs_file`; None without embedding. `suspects` is None if labels were
    not looked at. `kept` counts the doubtful labels that are not among them, because a person decided to keep them.
    """

    table: ImageTable
    readable: int
    pairs: list[DuplicatePair]
    contradictory: list[DuplicatePair]
    new_pairs: int | None
    pairs_file: Path
    suspects: list[Suspect] | None
    kept: int = 0


def audit(config: Config, folder: str | Path, embeddings: bool = False, label_errors: bool = False) -> Audit:
    """Look for near-duplicates, on request by embedding too and for label errors, and write tables to `folder`.

    Pairs found by embedding are added to duplicates.csv in the data set's folder, which the split reads.
    """
    root, folder = Path(config.dataset.root), as_path(folder)
    check_writable_folder(folder)
    if embeddings:
        check_writable(root / PAIRS_FILE)
    table = load_table(config.dataset)
    hashes = image_hashes(table, root)
    pairs = [DuplicatePair(a, b, f"hash, {bits} bits of 256") for a, b, bits in near_duplicates(hashes).tolist()]
    features = _features(config) if embeddings or label_errors else None
    new = []
    if embeddings and features is not None:
        known = {(pair.first, pair.second) for pair in pairs}
        new = [
            DuplicatePair(a, b, f"embedding, cosine {cosine:.3f}")
            for a, b, cosine in similar_pairs(features, MIN_COSINE)
            if (a, b) not in known
        ]
        _add_pairs(root, table, new)
    pairs += new
    _write_pairs(folder / "near_duplicates.csv", table, pairs)
    contradictory = [pair for pair in pairs if table.labels[pair.first] != table.labels[pair.second]]
    suspects, kept = None, 0
    if label_errors and features is not None:
        doubtful = find_suspects(table, features, contradictory, config.seed)
        suspects = undecided(table, doubtful)
        kept = len(doubtful) - len(suspects)
        _write_suspects(folder / LABEL_ERRORS, table, suspects)
    return Audit(
        table=table,
        readable=len(hashes.rows),
        pairs=pairs,
        contradictory=contradictory,
        new_pairs=len(new) if embeddings else None,
        pairs_file=root / PAIRS_FILE,
        suspects=suspects,
        kept=kept,
    )


def _features(config: Config) -> Features:
    """Return the features of all readable images by the frozen pretrained backbone."""
    # the cosines of `MIN_COSINE` are those of timm's own pooled layer
    config = dataclasses.replace(config, model=dataclasses.replace(config.model, head="pooled"))
    run = set_up_run(config)
    if not config.model.pretrained:
        raise InputError("model.pretrained=false: a random backbone knows nothing of flowers. Leave it true.")
    return frozen_features(run, pretrained_model(run)[0].eval(), np.arange(len(run.table.image_ids)))


def similar_pairs(features: Features, min_cosine: float) -> list[tuple[int, int, float]]:
    """Return (row, row, cosine) of all pairs of images whose centred features are that similar."""
    centred = features.values - features.values.mean(axis=0)
    unit = centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-12)
    pairs = []
    for start in range(0, len(unit), _BLOCK):
        cosines = unit[start : start + _BLOCK] @ unit[start:].T
        for row, column in zip(*np.nonzero(cosines >= min_cosine), strict=True):
            if column > row:
                first, second = sorted((int(features.rows[start + row]), int(features.rows[start + column])))
                pairs.append((first, second, float(cosines[row, column])))
    return pairs


def find_suspects(
    table: ImageTable, features: Features, contradictory: Sequence[DuplicatePair], seed: int
) -> list[Suspect]:
    """Return images whose labels are doubtful, the most doubtful first.

    Confident learning (Northcutt et al. 2021, arXiv:1911.00068) on out-of-fold probabilities of a linear probe: an
    image is a suspect if another class reaches that class's own mean probability; the order is by the margin. Images of
    a contradictory pair come first.
    """
    labels = table.labels[features.rows]
    classes = len(table.classes)
    strength = choose_regularisation(features.values, labels, classes, seed)
    probabilities = softmax(out_of_fold_logits(features.values, labels, classes, seed, strength))
    rows = np.arange(len(labels))
    own = probabilities[rows, labels]
    counts = np.bincount(labels, minlength=classes)
    sums = np.bincount(labels, weights=own, minlength=classes)
    thresholds = np.divide(sums, counts, out=np.ones(classes), where=counts > 0)
    others = np.where(probabilities >= thresholds, probabilities, 0)
    others[rows, labels] = 0
    suggested = others.argmax(axis=1)
    margins = own - others[rows, suggested]
    paired = {row for pair in contradictory for row in (pair.first, pair.second)}
    suspects = []
    for place in np.lexsort((margins, np.array([int(row) not in paired for row in features.rows]))).tolist():
        row = int(features.rows[place])
        confident = others[place, suggested[place]] > own[place]
        if confident or row in paired:
            reason = SAME_PICTURE if row in paired else SURE_OF_ANOTHER
            best = suggested[place] if confident else _label_of_partner(table, contradictory, row)
            suspects.append(Suspect(row, int(best), float(own[place]), float(probabilities[place, best]), reason))
    return suspects


def undecided(table: ImageTable, suspects: Sequence[Suspect]) -> list[Suspect]:
    """Return the suspects whose labels no person decided to keep."""
    kept = set() if table.corrections is None else set(table.corrections.kept_rows.tolist())
    return [suspect for suspect in suspects if suspect.row not in kept]


def _label_of_partner(table: ImageTable, pairs: Sequence[DuplicatePair], row: int) -> int:
    pair = next(pair for pair in pairs if row in (pair.first, pair.second))
    partner = pair.second if pair.first == row else pair.first
    return int(table.labels[partner])


def _add_pairs(root: Path, table: ImageTable, pairs: Sequence[DuplicatePair]) -> None:
    path, known = root / PAIRS_FILE, {frozenset(pair) for pair in read_pairs(root)}
    rows = []
    if path.is_file():
        rows = [[row.get(column, "") for column in PAIR_COLUMNS] for row in read_rows(path, PAIR_COLUMNS[:2])]
    for pair in pairs:
        names = [table.image_ids[pair.first], table.image_ids[pair.second]]
        if frozenset(names) not in known:
            rows.append([*names, pair.found_by])
    if rows:
        write_rows(path, PAIR_COLUMNS, rows)


def _write_pairs(path: Path, table: ImageTable, pairs: Sequence[DuplicatePair]) -> None:
    rows = [
        (
            table.image_ids[pair.first],
            table.image_ids[pair.second],
            pair.found_by,
            table.labels[pair.first],
            table.labels[pair.second],
        )
        for pair in sorted(pairs, key=lambda pair: table.labels[pair.first] == table.labels[pair.second])
    ]
    write_rows(path, (*PAIR_COLUMNS, "label", "other_label"), rows)


def _write_suspects(path: Path, table: ImageTable, suspects: Sequence[Suspect]) -> None:
    rows = []
    for suspect in suspects:
        given, suggested = table.classes[table.labels[suspect.row]], table.classes[suspect.suggested]
        figures = (f"{suspect.given_probability:.4f}", f"{suspect.suggested_probability:.4f}")
        names = (given.label, given.name, suggested.label, suggested.name)
        rows.append((table.image_ids[suspect.row], *names, *figures, suspect.reason))
    write_rows(path, LABEL_ERROR_COLUMNS, rows)
