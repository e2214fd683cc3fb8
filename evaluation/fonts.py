"""Fonts of this machine that draw the names of classes, Chinese ones included."""

import warnings
from contextlib import suppress
from functools import cache

import matplotlib
from matplotlib import font_manager

# fonts with Chinese glyphs on Windows, macOS and Linux, then matplotlib's own
_FONTS = ("Noto Sans CJK SC", "Noto Sans CJK JP", "Microsoft YaHei", "SimHei", "PingFang SC", "Heiti TC", "DejaVu Sans")


def use_fonts() -> None:
    """Let matplotlib draw Chinese names with a font of this machine, if it has one."""
    if not _known_fonts() & set(_FONTS[:-1]):
        _find_new_fonts()
    matplotlib.rcParams["font.family"] = [font for font in _FONTS if font in _known_fonts()]


def _known_fonts() -> set[str]:
    return {font.name for font in font_manager.fontManager.ttflist}


@cache
def _find_new_fonts() -> None:
    """Find fonts that were installed after matplotlib cached its list of fonts."""
    known = {font.fname for font in font_manager.fontManager.ttflist}
    for path in font_manager.findSystemFonts():
        if path not in known:
            # skip font files that matplotlib cannot read
            with suppress(OSError, RuntimeError, ValueError):
                font_manager.fontManager.addfont(path)


def is_drawable(text: str) -> bool:
    """Say whether the fonts chosen by `use_fonts` contain every character of a text."""
    with warnings.catch_warnings():
        # a warning about missing fonts is not needed: the caller replaces the text
        warnings.simplefilter("ignore")
        fonts = [font_manager.get_font(font_manager.findfont(family)) for family in matplotlib.rcParams["font.family"]]
    return all(any(font.get_char_index(ord(character)) for font in fonts) for character in text)
