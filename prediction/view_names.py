"""Names of the views of test-time augmentation, and of sets of them. Imports nothing heavy."""

from collections.abc import Sequence

from common.errors import InputError, did_you_mean
from prediction.options import PLAIN

# `prediction.views.VIEWS` has the function of each
NAMES = (
    "identity",
    "hflip",
    "vflip",
    "hvflip",
    "rotate+5",
    "rotate-5",
    "brightness+10",
    "brightness-10",
    "scale1.1",
    "crop_centre",
    "crop_top_left",
    "crop_top_right",
    "crop_bottom_left",
    "crop_bottom_right",
    "pad",
    "stretch",
)

SETS = {
    "crops5": tuple(name for name in NAMES if name.startswith("crop_")),
    "flips": ("identity", "hflip", "vflip", "hvflip"),
    "full": ("identity", "hflip", "vflip", "rotate+5", "rotate-5", "brightness+10", "brightness-10"),
}


def parse_views(views: str | Sequence[str] | None) -> tuple[str, ...]:
    """Return the views of a sequence of names, or of a text such as `identity,hflip` or `flips`.

    None is the image alone. Raises InputError for an unknown name, for none at all, and for a view that occurs twice,
    also within a set.
    """
    if views is None:
        return PLAIN
    names = [part.strip() for part in views.split(",")] if isinstance(views, str) else list(views)
    told = ",".join(map(str, names))
    known = [*NAMES, *SETS]
    found: list[str] = []
    for name in names:
        if name not in known:
            raise InputError(
                f"TTA {told}: no view {name!r}.{did_you_mean(str(name), known)} Views: {', '.join(known)}."
            )
        found.extend(SETS.get(name, (name,)))
    if not found:
        raise InputError(f"TTA: no view is named. Views: {', '.join(known)}.")
    if len(set(found)) < len(found):
        raise InputError(f"TTA {told}: a view stands in it twice.")
    return tuple(found)
