"""What evaluate.py prints of an evaluation."""

from evaluation.evaluate import Evaluation, Metrics


def describe_evaluation(found: Evaluation) -> list[str]:
    """Return the lines: images, figures with their 95 % intervals, and warnings."""
    lines = [
        f"images             {found.metrics.images} ({found.source})",
        f"answered by        {found.models} model(s), {'+'.join(found.views)}, {found.precision}",
        *metric_lines(found.metrics),
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

    def per_cent(share: float, interval: tuple[float, float]) -> str:
        low, high = interval
        return f"{100 * share:.2f} %  (95 %: {100 * low:.2f} to {100 * high:.2f})"

    return [
        f"top-1              {per_cent(metrics.top1, metrics.top1_interval)}",
        f"top-5              {per_cent(metrics.top5, metrics.top5_interval)}",
        f"macro F1           {per_cent(metrics.macro_f1, metrics.macro_f1_interval)}",
        f"balanced accuracy  {100 * metrics.balanced_accuracy:.2f} %",
        f"calibration error  {per_cent(metrics.calibration_error, metrics.calibration_error_interval)}",
        f"loss               {metrics.loss:.4f}",
    ]


def _remarks(found: Evaluation) -> list[str]:
    lines = []
    if found.seen_in_training:
        lines.append(
            f"warning: {found.seen_in_training} of these images were seen in training; the figures are optimistic."
        )
    elif found.chose_epoch:
        lines.append("note: the best epoch was chosen on these images, so expect a little less on new ones.")
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
