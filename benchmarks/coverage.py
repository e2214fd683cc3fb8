"""How often the kit's 95 % intervals hold the truth, and how much the choice of the best epoch flatters: a simulation.

python benchmarks/coverage.py

Each cell is the measured coverage in per cent at that number of images, over models that are drawn anew; in brackets
the truths below and above the interval (2.5 each where it is centred). `old` is the method of version 2.0: percentiles
of a bootstrap over images. `too few` counts combinations for which the kit gives no interval: less than an image a
class. --detail prints every combination. The truth is

- top-1, top-5, one class: the probability of a right answer, over images drawn from the population;
- balanced accuracy: the mean over the classes with images of their probabilities of a right answer;
- macro F1: its mean over other test sets with as many images of each class;
- calibration error: the mean gap of probability and confidence, over the bins of these images' confidences;
- gain: the mean difference in the probability of a right answer, of these models; of three seeds and more over all
  seeds; out of fold, the mean accuracy of the folds' models;
- the choice: the probability of a right answer of the chosen epoch.

A model's recalls vary between classes (a beta distribution around the accuracy with standard deviation 0.14 at 0.75);
wrong answers go to four classes each. Long-tailed: the largest class has 20 times the images of the smallest.
"""

import argparse
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from statistics import NormalDist

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from evaluation.calibration_error import bins_of, gap_of_bins
from evaluation.epoch_choice import best_of, flattery
from evaluation.intervals import (
    FEWEST_SEEDS,
    Interval,
    balanced_accuracy_interval,
    macro_f1_interval,
    paired_gain,
    paired_interval,
    paired_interval_over_cuts,
    wilson_interval,
)
from evaluation.metrics import macro_f1

IMAGES, CLASSES, LEVELS = (20, 50, 100, 300, 1000, 2000), (2, 10, 50, 200), (0.5, 0.75, 0.95)

# test sets of one model; their mean is the truth of macro F1
_TEST_SETS, _MEASURED = 100, 10


@dataclass(frozen=True)
class Outcome:
    """One truth against one interval: did it lie below, or above? `interval` None counts as too few."""

    figure: str
    images: int
    combination: str
    below: bool
    above: bool
    too_few: bool = False


def outcome(figure: str, images: int, combination: str, truth: float, interval: Interval | None) -> Outcome:
    """Compare a truth with an interval; the tolerance forgives rounding at the ends of the scale."""
    if interval is None:
        return Outcome(figure, images, combination, False, False, True)
    return Outcome(figure, images, combination, truth < interval[0] - 1e-9, truth > interval[1] + 1e-9)


def of_classes(simulations: int, images: int, seed: int) -> Iterator[Outcome]:
    """Yield proportions, balanced accuracy and macro F1, old and new."""
    generator = np.random.default_rng(seed)
    for classes, tail, level in product(CLASSES, (False, True), LEVELS):
        name = f"{classes} classes, {'long-tailed' if tail else 'balanced'}, {level:g}"
        for _ in range(max(simulations // 30, 1)):
            prior, answers = drawn_model(generator, classes, level, tail)
            counts = generator.multinomial(images, prior)
            rows = [generator.multinomial(n, row, size=_TEST_SETS) for n, row in zip(counts, answers, strict=True)]
            matrices = np.stack(rows, axis=1)
            recalls, expected_f1 = np.diag(answers), np.mean([macro_f1(matrix) for matrix in matrices])
            common = int(counts.argmax())
            for matrix in matrices[:_MEASURED]:
                drawn = generator.multinomial(images, prior)
                for figure, shares in (("top-1", recalls), ("top-5", 1 - (1 - recalls) / 4)):
                    hits = generator.binomial(drawn, shares).sum()
                    yield outcome(figure, images, name, float(prior @ shares), wilson_interval(hits, images))
                hits = matrix[common, common]
                found = wilson_interval(hits, counts[common])
                yield outcome("one class", images, name, recalls[common], found)
                found = balanced_accuracy_interval(matrix) if images >= classes else None
                yield outcome("balanced accuracy", images, name, recalls[counts > 0].mean(), found)
                yield outcome("macro F1", images, name, float(expected_f1), macro_f1_interval(matrix))
            found = old_macro_f1_interval(matrices[0], generator) if images >= classes else None
            yield outcome("macro F1, old", images, name, float(expected_f1), found)


def drawn_model(
    generator: np.random.Generator, classes: int, level: float, tail: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return the share of each class (C,), and the probability (C, C) of each answer for each true class."""
    prior = (1 / 20) ** (np.arange(classes) / (classes - 1)) if tail else np.ones(classes)
    recalls = generator.beta(8 * level, 8 * (1 - level), classes)
    answers = np.zeros((classes, classes))
    for label, recall in enumerate(recalls):
        wrong = generator.choice(np.delete(np.arange(classes), label), min(4, classes - 1), replace=False)
        answers[label, wrong] = (1 - recall) * generator.dirichlet(np.ones(len(wrong)))
        answers[label, label] = recall
    return prior / prior.sum(), answers


def old_macro_f1_interval(matrix: np.ndarray, generator: np.random.Generator, resamples: int = 200) -> Interval:
    """Return percentiles of the macro F1 of resampled images."""
    shares = matrix.ravel() / matrix.sum()
    cells = np.flatnonzero(shares)
    values = np.empty(resamples)
    for place, drawn in enumerate(generator.multinomial(matrix.sum(), shares[cells], size=resamples)):
        resampled = np.zeros(matrix.size, dtype=np.int64)
        resampled[cells] = drawn
        square = resampled.reshape(matrix.shape)
        sizes = square.sum(axis=0) + square.sum(axis=1)
        values[place] = (2 * np.diag(square)[sizes > 0] / sizes[sizes > 0]).mean()
    return percentiles(values)


def percentiles(values: np.ndarray) -> Interval:
    """Return the middle 95 % of values."""
    low, high = np.quantile(values, (0.025, 0.975))
    return float(low), float(high)


def of_calibration(simulations: int, images: int, seed: int) -> Iterator[Outcome]:
    """Yield the calibration error of models that are over- and underconfident, old and new."""
    generator = np.random.default_rng(seed)
    for level, temperature in product(LEVELS, (0.4, 0.7, 1.6, 3.0)):
        name = f"accuracy {level:g}, logits times {temperature:g}"
        for turn in range(max(simulations // 40, 2)):
            right = 0.01 + 0.98 * generator.beta(4 * level, 4 * (1 - level), images)
            confidences = 1 / (1 + ((1 - right) / right) ** temperature)
            hits = generator.random(images) < right
            truth = sum(abs((right[rows] - confidences[rows]).sum()) for rows in bins_of(confidences)) / images
            yield outcome("calibration error", images, name, truth, gap_of_bins(confidences, hits).interval)
            if turn % 4 == 0:
                found = old_calibration_interval(confidences, hits, generator)
                yield outcome("calibration error, old", images, name, float(np.abs(right - confidences).mean()), found)


def old_calibration_interval(confidences: np.ndarray, hits: np.ndarray, generator: np.random.Generator) -> Interval:
    """Return percentiles of the plain error over 15 equal bins of confidence (Guo et al. 2017)."""
    bins = np.minimum((confidences * 15).astype(int), 14)
    values = []
    for _ in range(200):
        rows = generator.integers(0, len(hits), len(hits))
        gaps = np.bincount(bins[rows], weights=hits[rows] - confidences[rows], minlength=15)
        values.append(np.abs(gaps).sum() / len(rows))
    return percentiles(np.array(values))


def of_pairs(simulations: int, images: int, seed: int) -> Iterator[Outcome]:
    """Yield the difference of two models on the same images, old and new."""
    generator = np.random.default_rng(seed)
    for level, disagreement, gain in product(LEVELS, (0.05, 0.2), (0.0, 0.02)):
        name = f"accuracy {level:g}, {disagreement:g} disagree, gain {gain:g}"
        for turn in range(simulations // 2):
            # models vary around the combination, so that one value of few images does not decide
            better, worse = (disagreement * generator.uniform(0.6, 1.4, 2) + (gain, -gain)) / 2
            kinds = generator.choice(
                4, images, p=(better, worse, level * (1 - better - worse), (1 - level) * (1 - better - worse))
            )
            hits, baseline = np.isin(kinds, (0, 2)), np.isin(kinds, (1, 2))
            found = paired_gain(hits, baseline)
            yield outcome("gain of two models", images, name, better - worse, (found.low / 100, found.high / 100))
            if turn % 4 == 0:
                differences = hits.astype(int) - baseline
                means = differences[generator.integers(0, images, (400, images))].mean(axis=1)
                yield outcome("gain of two models, old", images, name, better - worse, percentiles(means))


def of_seeds(simulations: int, images: int, seed: int) -> Iterator[Outcome]:
    """Yield the mean gain over 1 to 5 seeds that share their images, old and new."""
    generator = np.random.default_rng(seed)
    for seeds, deviation, disagreement in product((1, 2, 3, 5), (0.005, 0.01, 0.03), (0.1, 0.2)):
        name = f"{seeds} seeds, deviation {deviation:g}, {disagreement:g} disagree"
        covers = "images" if seeds < FEWEST_SEEDS else "seeds"
        for turn in range(simulations // 10):
            effects = generator.normal(0, deviation, seeds)
            gains = drawn_gains(generator, effects, disagreement, images)
            truth = float(effects.mean()) if seeds < FEWEST_SEEDS else 0.0
            found = paired_interval([as_pair(row) for row in gains])
            yield outcome(f"mean gain, {seeds} seeds ({covers})", images, name, truth, found)
            if turn % 4 == 0 and seeds >= FEWEST_SEEDS:
                yield outcome(f"mean gain, {seeds} seeds, old", images, name, truth, old_seeds(gains, generator))


def of_cuts(simulations: int, images: int, seed: int) -> Iterator[Outcome]:
    """Yield the mean gain over 2 and 4 cuts of one data set, each with 1 or 3 seeds and four fifths of the images."""
    generator = np.random.default_rng(seed)
    for cuts, seeds, disagreement in product((2, 4), (1, 3), (0.02, 0.1, 0.2)):
        name = f"{cuts} cuts, {seeds} seeds, {disagreement:g} disagree"
        for _ in range(simulations // 10):
            of_cut = generator.normal(0, 0.01, (cuts, 1))
            effects = of_cut + generator.normal(0, 0.01, (cuts, seeds))
            gains = drawn_gains(generator, effects.ravel(), disagreement, images).reshape(cuts, seeds, images)
            rows = [np.flatnonzero(generator.random(images) < 0.8) for _ in range(cuts)]
            pairs = [[as_pair(of_seed, own) for of_seed in of_seeds] for of_seeds, own in zip(gains, rows, strict=True)]
            # one seed a cut says nothing of others
            truth = float((effects if seeds == 1 else of_cut).mean())
            covers = "images" if seeds == 1 else "seeds"
            found = paired_interval_over_cuts(pairs)[1]
            yield outcome(f"mean gain over cuts, {seeds} seeds ({covers})", images, name, truth, found)


def drawn_gains(generator: np.random.Generator, effects: np.ndarray, disagreement: float, images: int) -> np.ndarray:
    """Return gains -1, 0 or 1 (runs, images) of runs with these mean `effects` (runs,) on the same images.

    Some images are won and lost more easily than others, and each leans to one of the two methods.
    """
    flips = np.minimum(generator.beta(0.5, 0.5 / disagreement, images), 0.45)
    tilt = 0.6 * generator.choice((-1, 1), images)
    better = flips * (0.5 + tilt / 2) + np.maximum(effects, 0)[:, None]
    worse = flips * (0.5 - tilt / 2) + np.maximum(-effects, 0)[:, None]
    drawn = generator.random((len(effects), images))
    return (drawn < better).astype(int) - ((drawn >= better) & (drawn < better + worse))


def as_pair(gains: np.ndarray, rows: np.ndarray | None = None) -> tuple[dict[str, bool], dict[str, bool]]:
    """Return two methods' answers with these gains -1, 0 or 1 (N,), by image id, of the images `rows` (or all)."""
    rows = np.arange(len(gains)) if rows is None else rows
    gains, names = gains[rows], [f"{row:06d}" for row in rows]
    method, baseline = dict(zip(names, gains > 0, strict=True)), dict(zip(names, gains < 0, strict=True))
    return method, baseline


def old_seeds(gains: np.ndarray, generator: np.random.Generator) -> Interval:
    """Return percentiles of a bootstrap over seeds and images."""
    seeds, images = gains.shape
    means = [
        gains[generator.integers(0, seeds, seeds)][:, generator.integers(0, images, images)].mean() for _ in range(200)
    ]
    return percentiles(np.array(means))


def of_folds(simulations: int, images: int, seed: int) -> Iterator[Outcome]:
    """Yield top-1 and balanced accuracy of five folds' models, each on its own fifth of the images."""
    generator = np.random.default_rng(seed)
    for classes, level in product((2, 10), LEVELS):
        name = f"{classes} classes, {level:g}"
        for _ in range(simulations // 10):
            models = [drawn_model(generator, classes, level, False)[1] for _ in range(2)]
            matrix, truth, recalls = np.zeros((classes, classes), dtype=np.int64), 0.0, np.zeros(classes)
            for fold in range(5):
                # models of folds are alike: nine tenths are common
                answers = 0.9 * models[0] + 0.1 * (models[1] if fold % 2 else models[0])
                counts = generator.multinomial(images // 5, np.full(classes, 1 / classes))
                matrix += np.stack([generator.multinomial(n, row) for n, row in zip(counts, answers, strict=True)])
                truth, recalls = truth + float(np.diag(answers).mean()) / 5, recalls + counts * np.diag(answers)
            present = matrix.sum(axis=1) > 0
            found = wilson_interval(int(np.trace(matrix)), int(matrix.sum()))
            yield outcome("out of fold: top-1", images, name, truth, found)
            expected = (recalls[present] / matrix.sum(axis=1)[present]).mean()
            yield outcome("out of fold: balanced", images, name, float(expected), balanced_accuracy_interval(matrix))


PARTS = {
    "classes": of_classes,
    "calibration": of_calibration,
    "pairs": of_pairs,
    "seeds": of_seeds,
    "cuts": of_cuts,
    "folds": of_folds,
}


def choice_rows(simulations: int, images: int, seed: int) -> list[str]:
    """Return lines on the flattery of the best epoch, in points of top-1: measured and corrected."""
    generator = np.random.default_rng(seed)
    rows = []
    for epochs, (fixed, memory) in product((5, 12, 30), ((0.5, 0.5), (0.9, 0.95))):
        raw, corrected = [], []
        for _ in range(max(simulations // 4, 10)):
            hits, truths = drawn_epochs(generator, images, epochs, fixed, memory)
            chosen = int(best_of(hits.mean(axis=1)))
            raw.append(hits[chosen].mean() - truths[chosen])
            corrected.append(raw[-1] - flattery(hits))
        alike = "alike" if fixed > 0.7 else "unlike"
        error = 100 * np.std(corrected) / np.sqrt(len(corrected))
        before, after = 100 * np.mean(raw), 100 * np.mean(corrected)
        rows.append(f"| {images} | {epochs} | {alike} | {before:+.2f} | {after:+.2f} | {error:.2f} |")
    return rows


def drawn_epochs(
    generator: np.random.Generator, images: int, epochs: int, fixed: float, memory: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return answers bool (epochs, images) whose accuracy levels off near 0.85, and each epoch's true accuracy.

    `fixed` is the share of an image's difficulty that stays, `memory` the correlation of the rest from epoch to epoch.
    """
    limits = NormalDist().inv_cdf(0.85) - np.maximum(1 - np.arange(epochs) / (epochs / 3), 0)
    limits += 0.02 * generator.normal(size=epochs)
    difficulty, rest = generator.normal(size=images), generator.normal(size=images)
    hits = np.empty((epochs, images), dtype=bool)
    for epoch, limit in enumerate(limits):
        rest = memory * rest + np.sqrt(1 - memory**2) * generator.normal(size=images)
        hits[epoch] = np.sqrt(fixed) * difficulty + np.sqrt(1 - fixed) * rest < limit
    return hits, np.array([NormalDist().cdf(limit) for limit in limits])


def summary(outcomes: list[Outcome], detail: bool) -> list[str]:
    """Return the table: a line for each figure, or each combination, and a column for each number of images."""
    groups: dict[str, dict[int, list[Outcome]]] = defaultdict(lambda: defaultdict(list))
    for item in outcomes:
        groups[f"{item.figure}: {item.combination}" if detail else item.figure][item.images].append(item)
    columns = sorted({item.images for item in outcomes})
    lines = [f"| figure | {' | '.join(map(str, columns))} |", "|---" * (len(columns) + 1) + "|"]
    for figure, of_images in sorted(groups.items()):
        lines.append(f"| {figure} | {' | '.join(cell(of_images[images]) for images in columns)} |")
    return lines


def cell(outcomes: list[Outcome]) -> str:
    """Return the coverage, the shares missed below and above, and which share of the combinations is too few."""
    measured = [item for item in outcomes if not item.too_few]
    if not measured:
        return "too few" if outcomes else ""
    below, above = (100 * np.mean([getattr(item, side) for item in measured]) for side in ("below", "above"))
    few = 100 * (1 - len(measured) / len(outcomes))
    return f"{100 - below - above:.1f} ({below:.1f}, {above:.1f})" + (f", {few:.0f} % too few" if few else "")


def _run(part: Callable[[int, int, int], Iterator[Outcome]], simulations: int, images: int) -> list[Outcome]:
    return list(part(simulations, images, 17 + images))


def measured(parts: list[str], simulations: int, processes: int) -> list[Outcome]:
    """Return the outcomes of parts at all numbers of images."""
    jobs = [partial(_run, PARTS[part], simulations, images) for part in parts for images in reversed(IMAGES)]
    if processes == 1:
        return [item for job in jobs for item in job()]
    with ProcessPoolExecutor(processes) as pool:
        return [item for found in [pool.submit(job) for job in jobs] for item in found.result()]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulations", type=int, default=600, help="per combination, roughly (default: %(default)s)")
    parser.add_argument("--parts", default=",".join([*PARTS, "choice"]), help="default: %(default)s")
    parser.add_argument("--processes", type=int, choices=(1, 2), default=1, help="default: %(default)s")
    parser.add_argument("--quick", action="store_true", help="a fifth of the simulations")
    parser.add_argument("--detail", action="store_true", help="a line for each combination")
    flags = parser.parse_args()
    parts = [part.strip() for part in flags.parts.split(",")]
    unknown = sorted(set(parts) - {*PARTS, "choice"})
    if unknown:
        parser.error(f"--parts: no such part: {', '.join(unknown)}")
    simulations = flags.simulations // 5 if flags.quick else flags.simulations
    chosen = [part for part in parts if part in PARTS]
    if chosen:
        print("\n".join(summary(measured(chosen, simulations, flags.processes), flags.detail)), flush=True)
    if "choice" in parts:
        print("\n| images | epochs | answers of epochs | flattery, points | after correction | standard error |")
        print("|---|---|---|---|---|---|")
        for images in (50, 300, 1000):
            print("\n".join(choice_rows(simulations, images, 17)), flush=True)


if __name__ == "__main__":
    main()
