"""What evaluate.py prints of an evaluation."""

from evaluation.abstention import rounded_down
from evaluation.evaluate import Evaluation, Metrics


def describe_evaluation(found: Evaluation) -> list[str]:
    """Return the lines: images, figures with their 95 % intervals, and warnings."""
    lines = [
        f"images             {found.metrics.images} ({found.source})",
        f"answered by        {found.models} model(s), {'+'.join(found.views)}, {found.precision}",
        *metric_lines(found.metrics),
        *_calibration_lines(found),
        *_abstention_lines(found),
    ]
    for name, group in found.groups.items():
        low, high = group.training_images
        lines.append(
            f"{name + '-shot classes':<18} {100 * group.balanced_accuracy:.2f} % balanced "
            f"({group.classes} classes of {low} to {high} training images)"
        )
    return lines + _remarks(found)


def metric_lines(metrics: Metrics) -> list[str]:
    """Return one line per figure."""

    def per_cent(share: float, interval: tuple[float, float] | None) -> str:
        if interval is None:
            return f"{100 * share:.2f} %  (too few images for an interval)"
        low, high = interval
        return f"{100 * share:.2f} %  (95 %: {100 * low:.2f} to {100 * high:.2f})"

    return [
        f"top-1              {per_cent(metrics.top1, metrics.top1_interval)}",
        f"top-5              {per_cent(metrics.top5, metrics.top5_interval)}",
        f"macro F1           {per_cent(metrics.macro_f1, metrics.macro_f1_interval)}",
        f"balanced accuracy  {per_cent(metrics.balanced_accuracy, metrics.balanced_accuracy_interval)}",
        f"loss               {metrics.loss:.4f}",
        f"calibration error  {per_cent(metrics.calibration_error, metrics.calibration_error_interval)}",
    ]


def _calibration_lines(found: Evaluation) -> list[str]:
    if found.models > 1:
        return ["                   each model with its own temperature, before the average"]
    if found.error_before is None:
        return ["  not calibrated   its temperature is 1; 'python cli/flower_cli.py calibrate' fits one"]
    interval = found.error_before.interval
    shown = "" if interval is None else f"  (95 %: {100 * interval[0]:.2f} to {100 * interval[1]:.2f})"
    return [
        f"  before           {100 * found.error_before.value:.2f} %{shown}; the temperature {found.temperature:.3f} "
        "mends it and changes no label"
    ]


def _abstention_lines(found: Evaluation) -> list[str]:
    """Return how many of the most confident answers are right: the others are those to look at."""
    lines = ["keep the answers   confidence from  images  right"]
    lines += [
        f"  {100 * it.coverage:5.1f} %          {rounded_down(it.threshold, 3):<15}  {it.images:<6}  "
        f"{100 * it.right:.2f} %  (95 %: {100 * it.interval[0]:.2f} to {100 * it.interval[1]:.2f})"
        for it in found.kept
    ]
    for target, it in found.targets.items():
        if it is None:
            lines.append(f"{100 * target:.0f} % right         no part of the answers")
        else:
            lines.append(
                f"{100 * target:.0f} % right         the {it.images} answers ({100 * it.coverage:.1f} %) with a "
                f"confidence from {rounded_down(it.threshold, 3)}"
            )
    return lines


def _remarks(found: Evaluation) -> list[str]:
    lines = []
    if found.seen_in_training:
        lines.append(
            f"warning: {found.seen_in_training} of these images were seen in training; the figures are optimistic."
        )
    elif found.chose_model:
        expected = "a little less" if found.corrected_top1 is None else f"about {100 * found.corrected_top1:.2f} %"
        lines.append(
            "note: the model (its epoch, its input size, or the members of a soup) was chosen on these images; "
            f"expect {expected} on new ones."
        )
    if found.split == "test":
        lines.append("note: this figure is honest as long as nothing is chosen by it; choose by --split val.")
    if found.unreadable:
        lines.append(
            f"warning: {found.unreadable} images could not be read: left out of the figures, "
            "and given the most frequent class in predictions.csv."
        )
    if found.recovered:
        lines.append(f"note: {found.recovered} damaged images were read as far as they go.")
    return lines
