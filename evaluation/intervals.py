"""95 % confidence intervals that hold what they say: `benchmarks/coverage.py` measures it, docs/RESULTS.md shows it.

An interval is None where there are too few images for an honest one. Nothing here is drawn at random.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from evaluation.metrics import macro_f1, per_class_accuracy

Interval = tuple[float, float]

CONFIDENCE = 0.95

Z = NormalDist().inv_cdf(0.5 + CONFIDENCE / 2)

# Macro F1 is a mean of ratios, which is biased where classes have less images than this (their median).
FEWEST_PER_CLASS = 5

# imagined wrong answers, whose class is not told by the recalls: a few real ones say little about these
_PSEUDO_ERRORS = 4


def wilson_interval(correct: float, total: float) -> Interval:
    """Return the Wilson score interval of a proportion (Wilson 1927); (0, 1) for no trials.

    `total` need not be whole: it may be an effective number of images.
    """
    if total == 0:
        return 0.0, 1.0
    share = correct / total
    centre = (share + Z * Z / (2 * total)) / (1 + Z * Z / total)
    half = Z / (1 + Z * Z / total) * np.sqrt(max(share * (1 - share), 0) / total + Z * Z / (4 * total * total))
    return float(max(centre - half, 0.0)), float(min(centre + half, 1.0))


def balanced_accuracy_interval(matrix: np.ndarray) -> Interval | None:
    """Return the interval of the mean recall of a confusion matrix (C, C) of counts, of the classes that have images.

    It is a Wilson interval for the effective number of images: as many as would give the mean its variance. Truth is
    the mean recall over all images that could have been taken, as many of each class as here. None for no images.
    """
    effective = _effective_images(matrix)
    if effective == 0:
        return None
    return wilson_interval(float(np.nanmean(per_class_accuracy(matrix))) * effective, effective)


def macro_f1_interval(matrix: np.ndarray) -> Interval | None:
    """Return the interval of macro F1 of a confusion matrix (C, C) of counts; truth as for balanced accuracy.

    The effective number of images is that of balanced accuracy times the ratio of the variances of both by the delta
    method. None if the median class has fewer than `FEWEST_PER_CLASS` images.
    """
    counts = matrix.sum(axis=1)
    if np.median(counts) < FEWEST_PER_CLASS:
        return None
    shares = _smoothed_rows(matrix)
    recalls, present = np.diag(shares), counts > 0
    of_recalls = (recalls * (1 - recalls) / np.maximum(counts, 1))[present].sum() / present.sum() ** 2
    of_f1 = _variance_of_f1(shares, counts)
    mean, smoothed_f1 = float(recalls[present].mean()), macro_f1(shares * counts[:, None])
    ratio = (of_recalls / (mean * (1 - mean))) / (of_f1 / (smoothed_f1 * (1 - smoothed_f1)))
    effective = _effective_images(matrix) * ratio
    return wilson_interval(macro_f1(matrix) * effective, effective)


def _effective_images(matrix: np.ndarray) -> float:
    """Return how many images of one class would give a recall the variance that the mean recall has."""
    counts = matrix.sum(axis=1)
    present = counts > 0
    counts, hits = counts[present], np.diag(matrix)[present]
    if len(counts) == 0:
        return 0.0
    pooled = len(counts) ** 2 / (1 / counts).sum()
    several = counts > 1
    errors = float(counts.sum() - hits.sum())
    ratio = 1.0
    if several.any() and errors:
        counts, recalls = counts[several], hits[several] / counts[several]
        weights = 1 / counts
        within = (weights * counts / (counts - 1) * recalls * (1 - recalls)).sum()
        mean = (weights * recalls).sum() / weights.sum()
        between_too = weights.sum() * mean * (1 - mean)
        ratio = min(within / between_too, 1.0) if between_too else 1.0
    return pooled * (errors + _PSEUDO_ERRORS) / (errors * ratio + _PSEUDO_ERRORS)


def _smoothed_rows(matrix: np.ndarray) -> np.ndarray:
    """Return shares (C, C) of the predictions for each true class, with one imagined image more in each class.

    It is right as often as all are, and wrong where the wrong answers go.
    """
    counts, classes = matrix.sum(axis=1), len(matrix)
    right = (np.trace(matrix) + 1) / (counts.sum() + 2)
    imagined = np.tile((matrix - np.diag(np.diag(matrix))).sum(axis=0) + 0.5, (classes, 1))
    np.fill_diagonal(imagined, 0)
    imagined *= (1 - right) / imagined.sum(axis=1, keepdims=True)
    np.fill_diagonal(imagined, right)
    return (matrix + imagined) / (counts + 1)[:, None]


def _variance_of_f1(shares: np.ndarray, counts: np.ndarray) -> float:
    """Return the variance of macro F1 for `counts` (C,) images, whose predictions have `shares` (C, C)."""
    expected = shares * counts[:, None]
    hits = np.diag(expected)
    false_positives = expected.sum(axis=0) - hits
    sizes = hits + counts + false_positives
    of_an_image = np.tile(-2 * hits / sizes**2, (len(counts), 1))
    np.fill_diagonal(of_an_image, 2 * (counts + false_positives) / sizes**2)
    of_an_image /= len(counts)
    mean = (shares * of_an_image).sum(axis=1)
    return float((counts * ((shares * of_an_image**2).sum(axis=1) - mean**2)).sum())


@dataclass(frozen=True)
class Gain:
    """A paired difference in top-1 on the same images, with its 95 % interval, in percentage points."""

    points: float
    low: float
    high: float


def paired_gain(hits: np.ndarray, baseline: np.ndarray) -> Gain:
    """Return the gain of `hits` bool (N,) over `baseline` bool (N,), which say whether each image is right.

    The interval is the adjusted Wald interval of paired proportions (Bonett and Price 2012,
    doi:10.3102/1076998611411915): one image is imagined on which only the one is right, and one for the other.
    """
    better, worse = int((hits & ~baseline).sum()), int((baseline & ~hits).sum())
    total = len(hits) + 2
    gain, loss = (better + 1) / total, (worse + 1) / total
    half = Z * np.sqrt((gain + loss - (gain - loss) ** 2) / total)
    difference = float(hits.mean() - baseline.mean())
    return Gain(100 * difference, 100 * float(gain - loss - half), 100 * float(gain - loss + half))


def paired_interval(pairs: Sequence[tuple[Mapping[str, bool], Mapping[str, bool]]]) -> Interval:
    """Return the interval of the mean difference in accuracy between two methods over seeds.

    Each pair is one seed: whether method and baseline are right, by image id. Images and seeds are both a sample: the
    variance is that between images plus that between seeds, less what both count (Cameron, Gelbach and Miller 2011,
    doi:10.1198/jbes.2010.07136), and a t distribution has the degrees of freedom of Satterthwaite 1946. One seed says
    nothing of others: its interval is that of images alone.
    """
    gains = [
        np.array([float(method[name]) - float(baseline[name]) for name in sorted(method.keys() & baseline.keys())])
        for method, baseline in pairs
    ]
    means = np.array([gain.mean() for gain in gains])
    if len(gains) == 1:
        method, baseline = pairs[0]
        names = sorted(method.keys() & baseline.keys())
        gain = paired_gain(np.array([method[name] for name in names]), np.array([baseline[name] for name in names]))
        return gain.low / 100, gain.high / 100
    between_seeds = float(means.var(ddof=1)) / len(gains)
    of_all = sum(_smoothed_variance(gain, 1) / len(gain) for gain in gains) / len(gains) ** 2
    if all(method.keys() == pairs[0][0].keys() for method, _ in pairs):
        of_images = _smoothed_variance(np.mean(gains, axis=0), len(gains)) / len(gains[0])
    else:
        of_images = of_all
    variance = max(of_images + between_seeds - of_all, of_all)
    freedom = variance**2 / (between_seeds**2 / (len(gains) - 1) + of_images**2 / len(gains[0]) + 1e-30)
    half = _t_quantile(max(freedom, 1.0)) * float(np.sqrt(variance))
    return float(means.mean()) - half, float(means.mean()) + half


def paired_interval_over_cuts(
    cuts: Sequence[Sequence[tuple[Mapping[str, bool], Mapping[str, bool]]]],
) -> tuple[float, Interval]:
    """Return the mean difference in accuracy over several cuts, which weigh the same, and its interval.

    Each cut has pairs as in `paired_interval`, one for a seed. Cuts of one data set share test images, so the variance
    is that between images, over all cuts together, plus that between the seeds of each cut, less what both count. The
    interval holds for these cuts, with other seeds and other test images.
    """
    scores: dict[str, float] = {}
    both = of_seeds = mean = 0.0
    spare_seeds = 0
    for pairs in cuts:
        gains = [{name: float(method[name]) - float(base[name]) for name in method} for method, base in pairs]
        means = [float(np.mean(list(gain.values()))) for gain in gains]
        mean += float(np.mean(means)) / len(cuts)
        for gain, centre in zip(gains, means, strict=True):
            weight = 1 / (len(gain) * len(gains) * len(cuts))
            for name, value in gain.items():
                scores[name] = scores.get(name, 0.0) + weight * (value - centre)
                both += (weight * (value - centre)) ** 2
        if len(means) > 1:
            of_seeds += float(np.var(means, ddof=1)) / len(means) / len(cuts) ** 2
            spare_seeds += len(means) - 1
    of_images = float(np.square(list(scores.values())).sum())
    # one seed a cut says nothing of others
    variance = of_images + of_seeds - (both if of_seeds else 0.0)
    freedom = variance**2 / (of_seeds**2 / max(spare_seeds, 1) + of_images**2 / len(scores) + 1e-30)
    if variance <= both:
        variance, freedom = both, len(scores)
    half = _t_quantile(max(freedom, 1.0)) * float(np.sqrt(variance))
    return mean, (mean - half, mean + half)


def _smoothed_variance(gains: np.ndarray, seeds: int) -> float:
    """Return the variance of gains (N,), means over `seeds`, with two imagined images.

    One is better, the other worse, each in one seed.
    """
    return float((np.square(gains).sum() + 2 / seeds**2) / (len(gains) + 2) - gains.mean() ** 2)


def _t_quantile(freedom: float) -> float:
    # importing it takes most of a second
    from scipy.stats import t

    return float(t.ppf(0.5 + CONFIDENCE / 2, freedom))
