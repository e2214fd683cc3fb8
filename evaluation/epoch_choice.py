"""How much the best of several flatters, chosen on the images that measure it."""

import numpy as np

from common.randomness import Purpose, keyed_generator

# of the checkpoint's metrics
CORRECTED = "val_top1_corrected"

_RESAMPLES = 200


def is_better(accuracy: np.ndarray | float, best: np.ndarray | float, min_delta: float) -> np.ndarray | bool:
    """Say whether accuracies are better than the best so far by `min_delta`, the smallest gain that counts."""
    # the tolerance keeps a gain of exactly min_delta from being lost to rounding
    return accuracy > best + max(min_delta - 1e-12, 0)


def best_of(accuracies: np.ndarray, min_delta: float = 0.0) -> np.ndarray:
    """Return the place int64 (...,) of the best of accuracies (..., K); a later one must be better by `min_delta`."""
    best, place = accuracies[..., 0], np.zeros(accuracies.shape[:-1], dtype=np.int64)
    for candidate in range(1, accuracies.shape[-1]):
        better = is_better(accuracies[..., candidate], best, min_delta)
        best = np.where(better, accuracies[..., candidate], best)
        place = np.where(better, candidate, place)
    return place


def flattery(hits: np.ndarray, min_delta: float = 0.0) -> float:
    """Return by how much the accuracy of the best of K candidates is expected to be too high (a share).

    `hits` bool (K, N) says which of N images each candidate has right. The best is chosen anew on images drawn with
    replacement, and compared with the best of all on the images that were not drawn (out-of-bag bootstrap, Efron 1983,
    doi:10.1080/01621459.1983.10477973). 0 for one candidate or fewer than two images. A fixed seed repeats the figure.
    """
    candidates, images = hits.shape
    if candidates < 2 or images < 2:
        return 0.0
    drawn = keyed_generator(0, Purpose.RESAMPLING).multinomial(images, np.full(images, 1 / images), size=_RESAMPLES)
    right = hits.T.astype(np.float64)
    chosen = best_of(drawn @ right / images, min_delta)
    left_out = (drawn == 0).astype(np.float64)
    sizes = left_out.sum(axis=1)
    accuracies = left_out @ right / np.maximum(sizes, 1)[:, None]
    losses = accuracies[:, best_of(hits.mean(axis=1), min_delta)] - accuracies[np.arange(_RESAMPLES), chosen]
    return max(float(losses[sizes > 0].mean()), 0.0)
