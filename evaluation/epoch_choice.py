"""How much the best epoch flatters: it was chosen on the images that measure it."""

import numpy as np

# of the checkpoint's metrics
CORRECTED = "val_top1_corrected"

_RESAMPLES = 400


def corrected_top1(hits: np.ndarray) -> float:
    """Return the top-1 that the chosen epoch is expected to have on new images, from `hits` bool (epochs, images).

    The optimism of the choice is estimated by the bootstrap (Efron 1983, doi:10.1080/01621459.1983.10477973): on
    resampled images the best epoch is chosen anew; how much better it is there than on all images is what the choice
    adds. The earliest of equally good epochs is chosen, as in training. A fixed seed repeats the figure.
    """
    hits = hits.astype(np.float32)
    images = hits.shape[1]
    full = hits.mean(axis=1)
    generator = np.random.default_rng(0)
    optimism = 0.0
    for _ in range(_RESAMPLES):
        counts = np.bincount(generator.integers(0, images, images), minlength=images).astype(np.float32)
        resampled = hits @ counts / images
        chosen = int(resampled.argmax())
        optimism += float(resampled[chosen] - full[chosen]) / _RESAMPLES
    return float(full.max() - optimism)
