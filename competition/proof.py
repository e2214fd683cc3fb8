"""The proof of a submission: unpack the ZIP where nothing of ours is, run it as the judges do, compare every row."""

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common.classes import ImageClass
from common.errors import InputError
from common.files import as_path, as_paths
from competition.archive import check_archive, unpack
from competition.checks import Check
from competition.csv_rules import check_csv
from competition.folder_rules import check_folder
from competition.judges_run import OWN_PYTHON, Execution, read_precision, run_command
from competition.zip_layout import CODE_DIR, provenance_name
from competition.zip_rules import inspect_folder
from configs.schema import CompetitionConfig
from data.flower_drawing import draw_jpegs
from data.listing import list_images
from prediction.options import PRECISIONS
from prediction.predictions_csv import Prediction, read_predictions
from prediction.tolerance import confidence_tolerance

# images of the second run, from code/
SAMPLE = 16

DRAWN = 8

# images by which the runs must differ for a time an image: two start-ups differ by up to a second or two
MIN_TIMED = 64

# the share of labels that may tip between two runs in 16 bits; where more do, the model hardly tells classes apart
MAX_TIPPED = 0.01

# a folder of a kind that many machines have and many scripts do not expect
_AWKWARD = "judges 评审 (1)"


@dataclass(frozen=True)
class Proof:
    """The checks, and the CSV that the unpacked code wrote from the ZIP's root (None if it wrote none).

    `runs` are the figures and versions of each run of the code; `ms_an_image` is None where too few images were run.
    """

    checks: list[Check]
    csv: bytes | None
    runs: list[dict[str, Any]] = field(default_factory=list)
    ms_an_image: float | None = None


@dataclass(frozen=True)
class _Trial:
    """An unpacked ZIP, the images of its two runs, and what their rows must be equal to.

    `classes` are None if the ZIP names none. Without a `reference` of the kit, the rows must be those of the CSV in the
    ZIP, if it is one of these images. `precision` is the dtype in which the reference was computed.
    """

    root: Path
    profile: CompetitionConfig
    classes: list[ImageClass] | None
    images: Path
    sample: Path
    reference: Sequence[Prediction] | None
    precision: str
    has_csv_of_images: bool


def prove(
    path: str | Path,
    profile: CompetitionConfig,
    input_dir: str | Path | None,
    reference: Sequence[Prediction] | None,
    pythons: Sequence[str | Path] = (OWN_PYTHON,),
    precision: str = PRECISIONS["fp32"],
) -> Proof:
    """Check a ZIP and run it under each interpreter of `pythons`, which have their own packages.

    It is run from its root on all images of `input_dir` and from code/ on some; None draws some images, damaged ones
    among them. `reference` are the kit's own predictions of the images in `precision` (see `confidence_tolerance`), to
    which every row must be equal; None compares with the CSV in the ZIP. The CSV and the time an image are those of the
    first interpreter. Raises InputError for what is no ZIP.
    """
    path, folder = as_path(path), None if input_dir is None else as_path(input_dir)
    archive = check_archive(path, profile.max_model_mb)
    if not archive.passed:
        return Proof([archive], None)
    with ExitStack() as stack:
        folder_of_runs = tempfile.TemporaryDirectory(prefix="flower_proof_", ignore_cleanup_errors=True)
        workspace = Path(stack.enter_context(folder_of_runs))
        root = workspace / _AWKWARD
        unpack(path, root, profile.max_model_mb)
        images = folder or _hostile_images(workspace / "test")
        files = list_images(images)
        names = list(files)
        if not names:
            raise InputError(f"{images}: no images in this folder to run the ZIP on.")
        inspection = inspect_folder(root, path, profile, names if folder else None, with_csv=reference is None)
        sample = _copy_sample(files, workspace / "sample")
        trial = _Trial(root, profile, inspection.classes, images, sample, reference, precision, folder is not None)
        checks = [archive, *inspection.checks, *([check_folder(images)] if folder else [])]
        runs: list[Execution] = []
        for number, python in enumerate(as_paths(pythons, "interpreters"), start=1):
            outputs = workspace / f"outputs {number}"
            outputs.mkdir()
            pair, found = _run_twice(trial, python, outputs)
            checks += found
            runs += pair
        milliseconds = time_an_image(*runs[:2])
        checks.append(_check_time(milliseconds, profile.max_latency_ms, decides=reference is None))
        written = runs[0].output.read_bytes() if runs[0].output.is_file() else None
    return Proof(checks, written, [_figures(execution) for execution in runs], milliseconds)


def _run_twice(trial: _Trial, python: Path, outputs: Path) -> tuple[list[Execution], list[Check]]:
    """Run the ZIP from its root on all images and from code/ on the sample; the CSVs go to new folders in `outputs`."""
    root, profile = trial.root, trial.profile
    from_root, first = run_command(python, root, root, profile, trial.images, outputs / "new 1" / "out.csv")
    from_code, second = run_command(python, root, root / CODE_DIR, profile, trial.sample, outputs / "new 2" / "out.csv")
    checks = [_record_versions(from_root)]
    checks += _judge(trial, from_root, first, list(list_images(trial.images)))
    checks += _judge(trial, from_code, second, list(list_images(trial.sample)))
    if trial.classes and first.passed and second.passed:
        checks += _compare_all(trial, trial.classes, from_root, from_code)
    return [from_root, from_code], checks


def _record_versions(execution: Execution) -> Check:
    """Return a line that says under which versions the code ran."""
    named = {"Python" if name == "python" else name: version for name, version in execution.versions.items()}
    figure = ", ".join(f"{name} {version}" for name, version in named.items())
    return Check(f"versions{execution.under}", None, figure or "not known: the run left no report")


def time_an_image(longer: Execution, shorter: Execution) -> float | None:
    """Return the milliseconds that each further image took, start-up excluded, from runs over more and fewer images.

    None if either run failed, or they differ by fewer than `MIN_TIMED` images.
    """
    further = longer.images - shorter.images
    if longer.exit_code or shorter.exit_code or further < MIN_TIMED:
        return None
    return max(1000 * (longer.seconds - shorter.seconds) / further, 0.0)


def _check_time(milliseconds: float | None, limit_ms: float, decides: bool) -> Check:
    """Say what an image takes; only a verification fails on it, because the judges' hardware is another."""
    allowed = f"{limit_ms:g} ms per image"
    if milliseconds is None:
        return Check("time an image", None, f"not measured; needs more than {SAMPLE + MIN_TIMED} images", allowed)
    figure = f"{milliseconds:.1f} ms beyond start-up, in batches, on this machine"
    return Check("time an image", milliseconds <= limit_ms if decides else None, figure, allowed)


def _figures(execution: Execution) -> dict[str, Any]:
    return {
        "where": execution.where,
        "images": execution.images,
        "seconds": round(execution.seconds, 2),
        "peak_memory_mb": execution.peak_memory_mb,
        "precision": execution.precision,
        "versions": execution.versions,
    }


def _judge(trial: _Trial, execution: Execution, ran: Check, names: Sequence[str]) -> list[Check]:
    """Return how a run ended, whether it called the network, and what is wrong with its CSV."""
    attempts, where = execution.network_attempts, execution.where
    checks = [ran, Check(f"network {where}", not attempts, f"called {attempts[0]}" if attempts else "not used", "none")]
    if ran.passed:
        rules = check_csv(execution.output, trial.profile.csv_columns, trial.classes, names)
        broken = [check for check in rules if check.passed is False]
        figure = "; ".join(f"{check.rule}: {check.figure}" for check in broken) or f"{len(names)} rows, all rules kept"
        checks.append(Check(f"CSV written {where}", not broken, figure, "all rules of the CSV"))
    return checks


def _compare_all(trial: _Trial, classes: list[ImageClass], from_root: Execution, from_code: Execution) -> list[Check]:
    under, ran_in = from_root.under, from_root.precision
    try:
        first, second = (read_predictions(execution.output, classes) for execution in (from_root, from_code))
        both = f"{ran_in}+{from_code.precision}"
        checks = [compare(second, first, f"from code/ = from the root{under}", both)]
        if trial.reference is not None:
            both = f"{ran_in}+{trial.precision}"
            checks.append(compare(first, trial.reference, f"from the root = the kit's predictions{under}", both))
        elif trial.has_csv_of_images:
            packed = read_predictions(trial.root / trial.profile.zip_layout.predictions, classes)
            both = f"{ran_in}+{_packed_precision(trial.root, trial.profile)}"
            checks.append(compare(first, packed, f"from the root = the CSV in the ZIP{under}", both))
    except InputError as error:
        return [Check("comparison", False, str(error), "readable CSVs")]
    return checks


def _packed_precision(root: Path, profile: CompetitionConfig) -> str:
    """Return the dtype in which the CSV in a ZIP was computed, if the ZIP tells: perhaps on another machine."""
    layout = profile.zip_layout
    provenance = provenance_name(layout)
    if provenance:
        return read_precision(root / provenance, "precision")
    return read_precision(root / layout.model_config, "csv_dtype") if layout.model_config else PRECISIONS["fp32"]


def compare(
    found: Sequence[Prediction], expected: Sequence[Prediction], rule: str, precision: str = PRECISIONS["fp32"]
) -> Check:
    """Compare the rows of `found` with those of the same images in `expected`: labels equal, confidences close.

    How close depends on `precision`, that of both runs (see `confidence_tolerance`). In float32 all labels must be
    equal. In 16 bits few may tip, each between two classes that are equally probable within the tolerance.
    """
    tolerance, exact = confidence_tolerance(precision), confidence_tolerance(PRECISIONS["fp32"])
    by_id = {prediction.image_id: prediction for prediction in expected}
    missing = [row.image_id for row in found if row.image_id not in by_id]
    shared = [(row, by_id[row.image_id]) for row in found if row.image_id in by_id]
    differing = [(row, other) for row, other in shared if row.label != other.label]
    wrong = [row.image_id for row, other in differing if tolerance == exact or not _may_tip(row, other, tolerance)]
    tipped = len(differing) - len(wrong)
    gaps = [
        abs(row.confidence - other.confidence)
        for row, other in shared
        if row.confidence is not None and other.confidence is not None
    ]
    largest = max(gaps, default=0.0)
    problems = []
    if missing:
        problems.append(f"{len(missing)} images have no row to compare with, first {missing[0]!r}")
    if wrong:
        problems.append(f"{len(wrong)} of {len(shared)} labels differ, first {wrong[0]!r}")
    if tipped > max(1, MAX_TIPPED * len(shared)):
        problems.append(f"{tipped} of {len(shared)} labels tip between classes of equal probability")
    if largest > tolerance:
        problems.append(f"confidences differ by up to {largest:.4f}")
    gap = f", confidences within {largest:.1e}" if gaps else ", no confidences to compare"
    equal = f"{len(shared) - tipped} labels equal"
    equal += f", {tipped} tip between classes of equal probability" if tipped else ""
    allowed = f"labels equal, confidences within {tolerance:g}"
    if tolerance > exact:
        allowed += f"; {100 * MAX_TIPPED:g} % of labels may tip where the two best classes are as close"
    return Check(rule, not problems, "; ".join(problems) or equal + gap, allowed)


def _may_tip(row: Prediction, other: Prediction, tolerance: float) -> bool:
    """Say whether two different labels of an image can come from runs whose probabilities differ by `tolerance`.

    A CSV holds the best class's probability alone. Where none moves by more than the tolerance, that of the best does
    not either; and since both classes share one image, the two confidences sum to at most 1 and the tolerance. So two
    sure answers never pass. Where one file has no confidences, the other's must do; without any, no label may tip.
    """
    known = [prediction.confidence for prediction in (row, other) if prediction.confidence is not None]
    return bool(known) and max(known) - min(known) <= tolerance and max(known) + min(known) <= 1 + tolerance


def _hostile_images(folder: Path) -> Path:
    """Draw a test folder with what real ones hold: other suffixes, damaged files, names that are not ASCII."""
    folder.mkdir()
    drawn = draw_jpegs(folder, 600, DRAWN)
    drawn[0].rename(folder / "UPPER.JPG")
    drawn[1].rename(folder / "花 (1).jpeg")
    whole = drawn[2].read_bytes()
    drawn[2].write_bytes(whole[: len(whole) // 2])
    (folder / "empty.png").write_bytes(b"")
    (folder / "text.webp").write_text("not an image", encoding="utf-8")
    return folder


def _copy_sample(files: Mapping[str, Path], folder: Path) -> Path:
    """Copy some of the images (id to path), spread over the list, to `folder`, and return it."""
    names = list(files)
    chosen = [names[index * len(names) // min(SAMPLE, len(names))] for index in range(min(SAMPLE, len(names)))]
    for name in chosen:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(files[name], folder / name)
    return folder
