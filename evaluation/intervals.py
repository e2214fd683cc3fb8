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

# with fewer images there is no interval of macro F1, nor with less than one a class on average
FEWEST_IMAGES = 20

# With fewer seeds an interval covers the images alone: Student's t of two seeds is 12.7 deviations.
FEWEST_SEEDS = 3

# each class borrows so many images of all classes, because one image alone shows no variation
_BORROWED = 2

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
    """Return the interval of macro F1 of a confusion matrix (C, C) of counts.

    Truth is the macro F1 expected of other images, as many of each class as here; that of infinitely many images
    differs from it where classes have one or two images. The variance is that of the linearised F1 (delta method), with
    multinomial rows, one for each true class; the interval is Wilson's for the effective number of images. None for
    fewer than `FEWEST_IMAGES` images or less than one a class on average.
    """
    counts = matrix.sum(axis=1)
    if counts.sum() < max(FEWEST_IMAGES, len(matrix)):
        return None
    shares = _smoothed_rows(matrix)
    smoothed = macro_f1(shares * counts[:, None])
    effective = smoothed * (1 - smoothed) / _variance_of_f1(shares, counts)
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
    """Return shares (C, C) of the predictions for each true class, with the images that each class borrows.

    They are right as often as all are, and wrong where the wrong answers go.
    """
    counts, hits = matrix.sum(axis=1), np.diag(matrix)
    right = (hits.sum() + 0.5) / (counts.sum() + 1)
    borrowed = np.tile(matrix.sum(axis=0) - hits + 1.0, (len(matrix), 1))
    np.fill_diagonal(borrowed, 0)
    borrowed *= (1 - right) / borrowed.sum(axis=1, keepdims=True)
    np.fill_diagonal(borrowed, right)
    return (matrix + _BORROWED * borrowed) / (counts + _BORROWED)[:, None]


def _variance_of_f1(shares: np.ndarray, counts: np.ndarray) -> float:
    """Return the variance of macro F1 for `counts` (C,) images, whose predictions have smoothed `shares` (C, C)."""
    present = counts > 0
    expected = shares * counts[:, None]
    hits, sizes = np.diag(expected), counts + expected.sum(axis=0)
    of_an_image = np.tile(np.where(present, -2 * hits / sizes**2, 0.0), (len(counts), 1))
    of_an_image[np.diag_indices(len(counts))] += np.where(present, 2 / sizes, 0.0)
    of_rows = (shares * of_an_image**2).sum(axis=1) - (shares * of_an_image).sum(axis=1) ** 2
    # smoothing makes rows more alike than they are: where all classes have one recall, this takes it back
    unshrunk = 1 / (1 - counts / (counts + _BORROWED) ** 2)
    return float((counts * of_rows * unshrunk).sum() / present.sum() ** 2)


@dataclass(frozen=True)
class Gain:
    """A paired difference in top-1 on the same images, with its 95 % interval, in percentage points."""

    points: float
    low: float
    high: float


def paired_gain(hits: np.ndarray, baseline: np.ndarray) -> Gain:
    """Return the gain of `hits` bool (N,) over `baseline` bool (N,), which say whether each image is right.

    The interval is the adjusted Wald interval of paired proportions (Agresti and Min 2005, doi:10.1002/sim.1781): two
    images more are imagined, of which the one wins half an image, and the other half an image. It covers other images,
    not another training.
    """
    better, worse = int((hits & ~baseline).sum()), int((baseline & ~hits).sum())
    total = len(hits) + 2
    gain, loss = (better + 0.5) / total, (worse + 0.5) / total
    half = Z * np.sqrt((gain + loss - (gain - loss) ** 2) / total)
    difference = float(hits.mean() - baseline.mean())
    return Gain(100 * difference, 100 * float(gain - loss - half), 100 * float(gain - loss + half))


def paired_interval(pairs: Sequence[tuple[Mapping[str, bool], Mapping[str, bool]]]) -> Interval:
    """Return the interval of the mean difference in accuracy between two methods.

    Each pair is one seed: whether method and baseline are right, by image id; seeds may share images or not. Images and
    seeds are both a sample (two-way random effects): with S seeds the variance of the seeds' means has Student's t with
    S - 1 degrees of freedom, what images add to several seeds a normal quantile, and the squares are added (Howe 1974,
    Journal of the American Statistical Association 69, 789-794). With fewer than `FEWEST_SEEDS` seeds the images alone
    vary. In each seed two images more are imagined, as in `paired_gain`.
    """
    # importing it takes a sixth of a second
    from scipy.special import stdtrit

    gains, known = _gain_table(pairs)
    sizes, seeds = known.sum(axis=1), len(pairs)
    means = gains.sum(axis=1) / sizes
    rests = np.where(known, gains - means[:, None], 0.0) / (seeds * sizes)[:, None]
    of_images = (rests.sum(axis=0) ** 2).sum()
    if seeds < FEWEST_SEEDS:
        squared = Z**2 * of_images
    else:
        shared = max(of_images - (rests**2).sum(), 0.0)
        squared = stdtrit(seeds - 1, 0.975) ** 2 * means.var(ddof=1) / seeds + Z**2 * shared
    centre, half = float(means.mean()), float(np.sqrt(squared))
    return centre - half, centre + half


# the gain and the loss of two imagined images: their squares add up to those of one image that is won or lost
_IMAGINED = 0.5**0.5


def paired_interval_over_cuts(
    cuts: Sequence[Sequence[tuple[Mapping[str, bool], Mapping[str, bool]]]],
) -> tuple[float, Interval]:
    """Return the mean difference in accuracy over several cuts, which weigh the same, and its interval.

    Each cut has pairs as in `paired_interval`, one for a seed. Cuts of one data set share test images, so the variance
    is that between images, over all cuts together, plus that between the seeds of each cut, less what both count. The
    interval holds for these cuts, with other seeds and other test images. In each seed two images more are imagined,
    as in `paired_gain`.
    """
    # importing it takes a sixth of a second
    from scipy.special import stdtrit

    scores: dict[str | tuple[int, int], float] = {}
    both = of_seeds = mean = centre_of_all = 0.0
    spare_seeds = 0
    for number, pairs in enumerate(cuts):
        imagined = {(number, sign): sign * _IMAGINED for sign in (1, -1)}
        measured = [
            {n: float(method[n]) - float(base[n]) for n in method.keys() & base.keys()} for method, base in pairs
        ]
        mean += float(np.mean([np.mean(list(gain.values())) for gain in measured])) / len(cuts)
        gains = [gain | imagined for gain in measured]
        means = [float(np.mean(list(gain.values()))) for gain in gains]
        centre_of_all += float(np.mean(means)) / len(cuts)
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
    half = float(stdtrit(max(freedom, 1.0), 0.975) * np.sqrt(variance))
    return mean, (centre_of_all - half, centre_of_all + half)


def _gain_table(pairs: Sequence[tuple[Mapping[str, bool], Mapping[str, bool]]]) -> tuple[np.ndarray, np.ndarray]:
    """Return gains -1, 0 or 1 (seeds, images) with two imagined images, and which of them were measured.

    Together these add as much to the squares as one image that is won or lost.
    """
    column_of = {name: column for column, name in enumerate(sorted(set().union(*(method for method, _ in pairs))))}
    gains = np.zeros((len(pairs), len(column_of) + 2))
    known = np.zeros(gains.shape, dtype=bool)
    for seed, (method, baseline) in enumerate(pairs):
        for name in method.keys() & baseline.keys():
            gains[seed, column_of[name]] = float(method[name]) - float(baseline[name])
            known[seed, column_of[name]] = True
    gains[:, -2:], known[:, -2:] = (_IMAGINED, -_IMAGINED), True
    return gains, known
