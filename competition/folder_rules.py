"""The folder of test images: whether every file that may be one of them gets a row."""

from pathlib import Path

from competition.checks import Check
from data.listing import begins_like_an_image, escaped, image_names, is_hidden, is_image_name

_NAMED = 3


def check_folder(folder: Path) -> Check:
    """Compare the listed images with all files that have an image suffix or begin like an image.

    Files that only hidden folders or names keep from being listed are told, and do not break the rule.
    """
    listed = set(image_names(folder))
    files = [path for path in folder.rglob("*") if path.is_file()]
    names = [path.relative_to(folder).as_posix() for path in files if _looks_like_an_image(path)]
    without = sorted(name for name in names if name not in listed)
    open_names = [name for name in without if not is_hidden(name.split("/"))]
    if open_names:
        told = f"{len(open_names)}, which look like images: {_some(open_names)}"
        advice = "give them an image suffix or remove them"
        return Check("CSV files without a row", False, f"{told}; {advice}", "0")
    told = f"none, but for {len(without)} hidden ones: {_some(without)}" if without else f"none of {len(listed)}"
    return Check("CSV files without a row", True, told, "0")


def _looks_like_an_image(path: Path) -> bool:
    return is_image_name(path.name) or begins_like_an_image(path)


def _some(names: list[str]) -> str:
    return ", ".join(escaped(name)[:60] for name in names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")
