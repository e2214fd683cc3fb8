"""Decoded values to uint8 RGB: any depth, transparency over white, the side that is up."""

import numpy as np

# bits of a value that cameras and programs use
_DEPTHS = (8, 10, 12, 14, 16, 24, 32)

_ROWS_AT_ONCE = 256

# EXIF orientation (CIPA DC-008, tag 0x0112): how the stored rows and columns are turned upright
_UPRIGHT = {
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: pixels[::-1].swapaxes(0, 1),
    7: lambda pixels: pixels[::-1, ::-1].swapaxes(0, 1),
    8: lambda pixels: pixels[:, ::-1].swapaxes(0, 1),
}


def to_rgb(values: np.ndarray) -> np.ndarray:
    """Return uint8 RGB (H, W, 3) of grey (H, W), grey and alpha (H, W, 2), RGB or RGBA values of any depth.

    Transparent pixels are laid over white.
    """
    values = values[..., None] if values.ndim == 2 else values
    colours, alpha = (values[..., :-1], values[..., -1:]) if values.shape[2] in (2, 4) else (values, None)
    if values.dtype != np.uint8:
        colours, alpha = _to_eight_bits(colours, alpha)
    if alpha is not None and alpha.min() < 255:
        colours = over_white(colours, alpha)
    return np.repeat(colours, 3, axis=2) if colours.shape[2] == 1 else np.ascontiguousarray(colours)


def over_white(colours: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Return uint8 colours (H, W, C) laid over white by uint8 `alpha` (H, W, 1), rounded to the nearest value."""
    result = np.empty_like(colours)
    # a few rows at a time, because 16 bits of a large image are much memory
    for start in range(0, len(colours), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        opacity = alpha[rows].astype(np.uint16)
        sums = colours[rows] * opacity
        sums += 255 * (255 - opacity) + 128
        # the division by 255, rounded, for sums below 2^16
        sums += sums >> 8
        result[rows] = sums >> 8
    return result


def _to_eight_bits(colours: np.ndarray, alpha: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
    """Scale by the bits that the visible values use: 12-bit values in a 16-bit file are almost black otherwise."""
    colours = _whole_numbers(colours)
    largest = colours.max() if alpha is None else colours.max(where=alpha > 0, initial=0)
    bits = next(depth for depth in _DEPTHS if largest < 2**depth)
    if alpha is not None:
        alpha = _shifted(alpha, bits if alpha.max() < 2**bits else 16)
    return _shifted(colours, bits), alpha


def _whole_numbers(values: np.ndarray) -> np.ndarray:
    """Return unsigned values; floating-point ones are fractions of white if none is above 1."""
    if values.dtype.kind == "u":
        return values
    if values.dtype.kind == "i":
        return values.clip(0, None).astype(np.uint32)
    values = np.nan_to_num(values.astype(np.float64)).clip(0, 2**32 - 1)
    return (values * 255 if values.max() <= 1 else values).round().astype(np.uint32)


def _shifted(values: np.ndarray, bits: int) -> np.ndarray:
    # colours below transparent pixels may be above the depth
    return np.minimum(values >> (bits - 8), 255).astype(np.uint8)


def turned_upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Return pixels (H, W, 3) turned by their EXIF orientation; 1 and unknown values change nothing."""
    return np.ascontiguousarray(_UPRIGHT[orientation](pixels)) if orientation in _UPRIGHT else pixels
