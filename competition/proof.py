"""The proof of a submission: unpack the ZIP where nothing of ours is, run it as the judges do, compare every row."""

import shutil
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common.classes import ImageClass
from common.errors import InputError
from competition.archive import check_archive, unpack
from competition.checks import Check
from competition.csv_rules import check_csv
from competition.judges_run import Execution, run_command
from competition.zip_layout import CODE_DIR
from competition.zip_rules import inspect_folder
from configs.schema import CompetitionConfig
from data.flower_drawing import draw_jpegs
from data.images import list_images
from prediction.predictions_csv import Prediction, read_predictions

# images of the second run, from code/
SAMPLE = 16

DRAWN = 8

# images by which the runs must differ for a time an image: two start-ups differ by up to a second or two
MIN_TIMED = 64

CONFIDENCE_TOLERANCE = 1e-3

# a folder of a kind that many machines have and many scripts do not expect
_AWKWARD = "judges 评审 (1)"


@dataclass(frozen=True)
class Proof:
    """The checks, and the CSV that the unpacked code wrote from the ZIP's root (None if it wrote none).

    `runs` are the figures of each run of the code; `ms_an_image` is None where too few images were run.
    """

    checks: list[Check]
    csv: bytes | None
    runs: list[dict[str, Any]] = field(default_factory=list)
    ms_an_image: float | None = None


def prove(
    path: Path,
    profile: CompetitionConfig,
    input_dir: Path | None,
    reference: Sequence[Prediction] | None,
) -> Proof:
    """Check and run a ZIP.

    It is run from its root on all images of `input_dir` and from code/ on some; None draws some images, damaged ones
    among them. `reference` are the kit's own predictions of the images, to which every row must be equal; None compares
    with the CSV in the ZIP. Raises InputError for what is no ZIP.
    """
    archive = check_archive(path, profile.max_model_mb)
    if not archive.passed:
        return Proof([archive], None)
    with ExitStack() as stack:
        workspace = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="flower_proof_")))
        root = workspace / _AWKWARD
        unpack(path, root, profile.max_model_mb)
        images = input_dir or _hostile_images(workspace / "test")
        names = list_images(images)
        if not names:
            raise InputError(f"{images}: no images in this folder to run the ZIP on.")
        inspection = inspect_folder(root, path, profile, names if input_dir else None, with_csv=reference is None)
        checks = [archive, *inspection.checks]
        from_root, first = run_command(root, root, profile, images, workspace / "new 1" / "out.csv", len(names))
        checks += _judge(from_root, first, "from the ZIP's root", profile, inspection.classes, names)
        sample = _sample(images, names, workspace / "sample")
        from_code, second = run_command(
            root, root / CODE_DIR, profile, workspace / "sample", workspace / "new 2" / "out.csv", len(sample)
        )
        checks += _judge(from_code, second, "from code/", profile, inspection.classes, sample)
        if inspection.classes and first.passed and second.passed:
            checks += _compare_all(root, profile, inspection.classes, from_root, from_code, reference, input_dir)
        milliseconds = time_an_image(from_root, from_code)
        checks.append(_check_time(milliseconds, profile.max_latency_ms, decides=reference is None))
        written = from_root.output.read_bytes() if from_root.output.is_file() else None
    return Proof(checks, written, [_figures(execution) for execution in (from_root, from_code)], milliseconds)


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
    allowed = f"{limit_ms:g} ms an image"
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
    }


def _judge(
    execution: Execution,
    ran: Check,
    where: str,
    profile: CompetitionConfig,
    classes: list[ImageClass] | None,
    names: Sequence[str],
) -> list[Check]:
    """Return how a run ended, whether it called the network, and what is wrong with its CSV."""
    attempts = execution.network_attempts
    checks = [ran, Check(f"network {where}", not attempts, f"called {attempts[0]}" if attempts else "not used", "none")]
    if ran.passed:
        rules = check_csv(execution.output, profile.csv_columns, classes, names)
        broken = [check for check in rules if check.passed is False]
        figure = "; ".join(f"{check.rule}: {check.figure}" for check in broken) or f"{len(names)} rows, all rules kept"
        checks.append(Check(f"CSV written {where}", not broken, figure, "all rules of the CSV"))
    return checks


def _compare_all(
    root: Path,
    profile: CompetitionConfig,
    classes: list[ImageClass],
    from_root: Execution,
    from_code: Execution,
    reference: Sequence[Prediction] | None,
    input_dir: Path | None,
) -> list[Check]:
    try:
        first, second = (read_predictions(execution.output, classes) for execution in (from_root, from_code))
        checks = [compare(second, first, "from code/ = from the root")]
        if reference is not None:
            checks.append(compare(first, reference, "from the root = the kit's predictions"))
        elif input_dir is not None:
            packed = read_predictions(root / profile.zip_layout.predictions, classes)
            checks.append(compare(first, packed, "from the root = the CSV in the ZIP"))
    except InputError as error:
        return [Check("comparison", False, str(error), "readable CSVs")]
    return checks


def compare(found: Sequence[Prediction], expected: Sequence[Prediction], rule: str) -> Check:
    """Compare the rows of `found` with those of the same images in `expected`: labels equal, confidences close."""
    by_id = {prediction.image_id: prediction for prediction in expected}
    missing = [row.image_id for row in found if row.image_id not in by_id]
    shared = [(row, by_id[row.image_id]) for row in found if row.image_id in by_id]
    labels = [row.image_id for row, other in shared if row.label != other.label]
    gaps = [
        abs(row.confidence - other.confidence)
        for row, other in shared
        if row.confidence is not None and other.confidence is not None
    ]
    largest = max(gaps, default=0.0)
    problems = []
    if missing:
        problems.append(f"{len(missing)} images have no row to compare with, first {missing[0]!r}")
    if labels:
        problems.append(f"{len(labels)} of {len(shared)} labels differ, first {labels[0]!r}")
    if largest > CONFIDENCE_TOLERANCE:
        problems.append(f"confidences differ by up to {largest:.4f}")
    gap = f", confidences within {largest:.1e}" if gaps else ", no confidences to compare"
    figure = "; ".join(problems) or f"{len(shared)} labels equal{gap}"
    return Check(rule, not problems, figure, f"labels equal, confidences within {CONFIDENCE_TOLERANCE:g}")


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


def _sample(images: Path, names: Sequence[str], folder: Path) -> list[str]:
    """Copy some of the images, spread over the list, to `folder`, and return their names."""
    chosen = [names[index * len(names) // min(SAMPLE, len(names))] for index in range(min(SAMPLE, len(names)))]
    for name in chosen:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(images / name, folder / name)
    return sorted(chosen)
