"""Parts of a data set (training, validation, test) and class folders, found in the paths of its images alone."""

import itertools
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from common.errors import InputError
from data.listing import shared_folder
from data.part_names import TRAIN, VAL, part_in_name, part_of_folder

_PHOTOGRAPHS = ("images", "image", "imgs", "img", "photos", "pictures", "jpg", "jpeg", "jpegimages", "original", "图片")

# kinds of the same photographs; beside each other they hold the same classes
_VARIANTS = ("color", "colour", "grayscale", "gray", "rgb", "raw", "segmented", "augmented", *_PHOTOGRAPHS)

_COPIES = (
    *("masks", "mask", "annotations", "segmentations", "segmentation", "ground_truth", "groundtruth", "trimaps"),
    *("thumbnails", "thumbs", "depth", "labels"),
)

_COPY = re.compile(r"(.+?)[_-](mask|segmentation|seg|thumb|thumbnail)([_-]?\d+)?", re.IGNORECASE)

_BATCH = re.compile(
    r"(batch|part|fold|folder|group|session|day|camera|dir|set|round|批次?)?[\s_\-]*\d+|第.+[批组]", re.IGNORECASE
)


@dataclass(frozen=True)
class Folders:
    """Images by part, from the folders alone.

    `roots` are the folders of the parts (root with `/` to part); `beside` are the images in no part; `classes` may be
    known (path: class); `described` is a clause.
    """

    parts: dict[str, list[str]]
    beside: list[str]
    described: str
    classes: dict[str, str] | None = None
    roots: dict[str, str] = field(default_factory=dict)


def without_copies(images: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the photographs, and the masks and thumbnails that lie beside them.

    These are in a folder called so beside a folder called `images`, or are called `1_mask.png` beside `1.jpg`.
    """
    inner: dict[str, set[str]] = defaultdict(set)
    for folder in {path.rpartition("/")[0] for path in images}:
        names = folder.split("/")
        for depth, name in enumerate(names):
            inner["/".join(names[:depth])].add(name)
    copied = {
        f"{above}/{name}".lstrip("/")
        for above, names in inner.items()
        if any(name.casefold() in _PHOTOGRAPHS for name in names)
        for name in names
        if name.casefold() in _COPIES
    }
    stems = {path.rpartition(".")[0] for path in images}
    copies = [path for path in images if _is_below(path, copied) or _is_copy_of(path, stems)]
    gone = set(copies)
    return [path for path in images if path not in gone], copies


def _is_below(path: str, folders: set[str]) -> bool:
    names = path.split("/")[:-1]
    return bool(folders) and any("/".join(names[: depth + 1]) in folders for depth in range(len(names)))


def _is_copy_of(path: str, stems: set[str]) -> bool:
    folder, _, name = path.rpartition("/")
    match = _COPY.fullmatch(name.rpartition(".")[0])
    return match is not None and f"{folder}/{match[1]}".lstrip("/") in stems


def find_parts(images: Sequence[str]) -> Folders:
    """Tell the folders of training, validation and test images apart. Raises InputError for folds that overlap."""
    return _find(images, "") or Folders(
        {TRAIN: list(images)}, [], f"all images{_where(shared_folder(images))} for training"
    )


def _find(images: Sequence[str], above: str) -> Folders | None:
    """Return the parts in the folder `above` or deeper, or None if there are none."""
    base = shared_folder(images)
    by_folder: dict[str, list[str]] = defaultdict(list)
    for path in images:
        by_folder[component(path, base)].append(path)
    direct = by_folder.pop("", [])
    if _are_classes_with_train(by_folder):
        return None
    named = _named_parts(by_folder, has_others=bool(direct))
    others = [folder for folder in by_folder if folder not in named]
    if TRAIN in named.values():
        return _of_roots({f"{base}{folder}/": part for folder, part in named.items()}, images, base)
    if any(part_of_folder(folder) for folder in base.removeprefix(above).split("/")):
        return None
    if named and (others or direct):
        return _beside_other_parts(by_folder, named, others, direct, base)
    within = _parts_within_classes(images, base)
    if within is not None or named or not others:
        return within
    found = {folder: _find(by_folder[folder], f"{base}{folder}/") for folder in others}
    inner = [folders for folders in found.values() if folders is not None and TRAIN in folders.roots.values()]
    if not inner:
        return None
    roots = {root: part for folders in inner for root, part in folders.roots.items()}
    _check_folds(images, roots)
    return _of_roots(roots, images, base)


def _named_parts(by_folder: Mapping[str, list[str]], has_others: bool) -> dict[str, str]:
    """Return the part of each folder that is one.

    Names such as `seg_train` and `seg_test` count if every folder here has one; beside `train`, also `test1`.
    """
    named = {folder: part for folder in by_folder if (part := part_of_folder(folder)) is not None}
    loose = {folder: part for folder in by_folder if (part := part_in_name(folder)) is not None}
    if TRAIN in named.values():
        return named | {folder: part for folder, part in loose.items() if part != TRAIN and folder not in named}
    both = {**loose, **named}
    whole = len(both) == len(by_folder) and not has_others
    return both if whole and TRAIN in both.values() and len(set(both.values())) > 1 else named


def _of_roots(roots: Mapping[str, str], images: Sequence[str], base: str) -> Folders:
    parts: dict[str, list[str]] = defaultdict(list)
    beside = []
    depths = sorted({root.count("/") for root in roots}, reverse=True)
    for path in images:
        names = path.split("/")
        root = next((found for depth in depths if (found := "/".join(names[:depth]) + "/") in roots), None)
        if root is None:
            beside.append(path)
        else:
            parts[roots[root]].append(path)
    told = ", ".join(sorted(root.removeprefix(base) for root in roots))
    return Folders(dict(parts), beside, f"parts{_where(base)}: {told}", roots=dict(roots))


def _beside_other_parts(
    by_folder: Mapping[str, list[str]], named: Mapping[str, str], others: list[str], direct: list[str], base: str
) -> Folders | None:
    """Return the parts where a folder such as `test` stands beside others, none of which is called `train`."""
    roots = {f"{base}{folder}/": part for folder, part in named.items()}
    inner = [_find(by_folder[folder], f"{base}{folder}/") for folder in others]
    deeper = {root: part for folders in inner if folders is not None for root, part in folders.roots.items()}
    if TRAIN in deeper.values():
        images = [path for paths in by_folder.values() for path in paths] + direct
        return _of_roots(roots | deeper, images, base)
    parts = group((named[folder], by_folder[folder]) for folder in named)
    parts[TRAIN] = [path for folder in others for path in by_folder[folder]] + direct
    told = ", ".join(f"{folder}/" for folder in sorted(named))
    return Folders(parts, [], f"parts{_where(base)}: {told}, and all other folders for training", roots=roots)


def _are_classes_with_train(by_folder: Mapping[str, list[str]]) -> bool:
    """Say whether a folder `train` stands among flat class folders, such as car and plane, and no other part does."""
    named = [part for folder in by_folder if (part := part_of_folder(folder)) is not None]
    depths = {path.count("/") for paths in by_folder.values() for path in paths}
    return named == [TRAIN] and len(by_folder) > 2 and len(depths) == 1


def _parts_within_classes(images: Sequence[str], base: str) -> Folders | None:
    """Return the parts of `class/train/image`, or None if the folders are not of this form."""
    found, roots = [], {}
    for path in images:
        names = path[len(base) :].split("/")
        part = part_of_folder(names[1]) if len(names) == 3 else None
        if part is None:
            return None
        found.append((part, [path]))
        roots[f"{base}{names[0]}/{names[1]}/"] = part
    parts = group(found)
    if TRAIN not in parts or len(parts) < 2:
        return None
    classes = {path: component(path, base) for path in images}
    return Folders(parts, [], f"parts{_where(base)} within each class folder", classes)


def _check_folds(images: Sequence[str], roots: Mapping[str, str]) -> None:
    """Raise InputError if folders that hold parts hold the same images in different parts.

    Names that stand twice within one such folder tell nothing, such as `1.jpg` in training and test.
    """
    names: dict[str, dict[str, str]] = defaultdict(dict)
    repeated = 0
    for path in images:
        root = next((root for root in roots if path.startswith(root)), None)
        if root is not None:
            part = names[root[:-1].rpartition("/")[0]].setdefault(path.removeprefix(root), roots[root])
            repeated += part != roots[root]
    folders = [folder for folder in names if len({roots[root] for root in roots if root.startswith(f"{folder}/")}) > 1]
    for first, second in itertools.pairwise(sorted(folders)):
        both = names[first].keys() & names[second].keys()
        moved = sum(names[first][name] != names[second][name] for name in both)
        if moved > len(both) / 4 and repeated < moved / 2:
            raise InputError(
                f"{first}/ and {second}/ hold images of the same names, but in other parts, as the folds of a "
                "cross-validation do. Give the folder of one fold as the source."
            )


def class_folders(images: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Return the class of each image that lies in a class folder, none if there are no such folders; and notes.

    Class folders are the first level with several folders; or the second, where the folders of the first hold the same
    ones, as in `batch1/rose`, `batch1/tulip`, `batch2/rose`, `batch2/tulip`.
    """
    base = shared_folder(images)
    classes = {path: folder for path in images if (folder := component(path, base))}
    second = {path: component(path, f"{base}{folder}/") for path, folder in classes.items()}
    inner: dict[str, set[str]] = defaultdict(set)
    for path, folder in classes.items():
        inner[folder].add(second[path])
    if _are_batches(inner):
        note = f"the folders {_some(inner)} hold the same folders; these are the classes, and they are joined"
        return second, [note]
    copies = [folder for folder, below in inner.items() if "" not in below and len(below & inner.keys()) > 1]
    notes = [f"the folder {folder}/ holds folders called like those beside it; they are joined" for folder in copies]
    classes = {path: second[path] if folder in copies else folder for path, folder in classes.items()}
    several = [folder for folder, below in inner.items() if folder not in copies and len(below - {""}) > 1]
    if several:
        example = min(below for below in inner[several[0]] if below)
        notes.append(
            f"folders within class folders are no classes of their own: {several[0]}/{example}/ belongs to "
            f"'{several[0]}'"
        )
    return classes, notes


def _are_batches(inner: Mapping[str, set[str]]) -> bool:
    """Say whether the second level of folders holds the classes: it recurs in each folder of the first level."""
    shared = set.intersection(*inner.values()) if inner else set()
    every = set.union(*inner.values()) if inner else set()
    if len(inner) < 2 or "" in every or len(shared) < 2 or 2 * len(shared) < len(every):
        return False
    if all(_BATCH.fullmatch(name) for name in every):
        return False
    return (
        len(every) > len(inner)
        or all(part_in_name(name) == TRAIN for name in inner)
        or all(_BATCH.fullmatch(name) or name.casefold() in _VARIANTS for name in inner)
    )


def is_no_class(folder: str) -> bool:
    """Say whether a folder is called after its kind of files, or after a part, rather than after a class."""
    return folder.casefold() in ("", "data", *_PHOTOGRAPHS) or part_of_folder(folder) is not None


def classes_of_all(folders: Folders, classes: Mapping[str, str]) -> dict[str, str]:
    """Return the class of each image in any part: the folder on its path that is a class of the training part."""
    known = set(classes.values())
    found = dict(classes)
    for part, images in folders.parts.items():
        for path in images:
            if path in found:
                continue
            above = path.split("/")[:-1]
            start = next((place + 1 for place, name in enumerate(above) if _is_part(name) == part), 0)
            below = above[start:]
            match = next((name for name in reversed(below) if name in known), None)
            if match is not None:
                found[path] = match
            elif below and part == VAL and not is_no_class(below[-1]):
                found[path] = below[-1]
    return found


def _is_part(name: str) -> str | None:
    return part_of_folder(name) or part_in_name(name)


def component(path: str, base: str) -> str:
    """Return the first folder of `path` below `base`, or nothing for a file directly in it."""
    return path[len(base) :].rpartition("/")[0].split("/")[0]


def group(pairs: Iterable[tuple[str, list[str]]]) -> dict[str, list[str]]:
    """Return the lists of each part, joined."""
    grouped: dict[str, list[str]] = defaultdict(list)
    for part, paths in pairs:
        grouped[part] += paths
    return dict(grouped)


def _where(base: str) -> str:
    return f" in {base}" if base else ""


def _some(folders: Iterable[str]) -> str:
    names = sorted(folders)
    return ", ".join(f"{name}/" for name in names[:4]) + (", ..." if len(names) > 4 else "")
