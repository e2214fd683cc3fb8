"""What ensemble.py prints of fitted weights and of averaged probabilities."""

from tools.ensemble import AveragedPredictions, WeightFit


def describe_fit(fit: WeightFit) -> list[str]:
    """Return the lines: what the weights were fitted on, what they gain, and the weights."""
    lines = [
        f"fit         on {fit.images} images ({fit.source}); figures on the fifth that each fit did not see",
        f"log loss    equal {fit.equal_loss:.4f}, fitted {fit.fitted_loss:.4f}",
        f"top-1       equal {100 * fit.equal_top1:.2f} %, fitted {100 * fit.fitted_top1:.2f} % "
        f"(difference 95 %: {fit.gain.low:+.2f} to {fit.gain.high:+.2f})",
    ]
    if fit.weights is None:
        return [*lines, "weights     equal: the fitted ones gain nothing on images that they have not seen"]
    return [*lines, f"weights     {' '.join(f'{weight:.3f}' for weight in fit.weights)}"]


def describe_average(average: AveragedPredictions) -> list[str]:
    """Return the lines: how many images, and whether a ZIP can repeat the mean."""
    unreadable = f", {average.unreadable} unreadable" if average.unreadable else ""
    lines = [f"images      {average.images}{unreadable}, mean of {average.members} files"]
    if not average.repeatable:
        lines.append(
            "note: the files were made with different views or averages, so no ZIP can repeat their mean; "
            "ensemble.py --checkpoint predicts with one set of views."
        )
    return lines
