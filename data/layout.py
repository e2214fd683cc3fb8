"""What a folder of photographs holds: parts, classes and tables, understood from its listing and its tables.

Everything here is a pure function of names and table cells; `prepare` reads and writes the files.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from common.errors import InputError
from data.class_names import merge_alike, notes_on_classes, uniform_labels
from data.label_table import LabelTable
from data.table_use import TEST, TRAIN, VAL, Columns, TableUse, part_of_folder, use_table

CONTRADICTIONS = "images with two labels"
OUTSIDE_PARTS = "images beside the parts"
OUTSIDE_CLASSES = "images beside the class folders"
NO_LABEL = "images without a label"
UNKNOWN_CLASS = "images of classes without training images"

_DISPLAY_NAMES = ("name", "english_name", "class_name", "label_name", "category_name", "common_name", "species")

# a table gives the labels if it names this share of the images, or if there are no class folders
_ENOUGH = 0.5

# folders that agree with the labels but for this share were meant as classes
_FEW = 0.2


@dataclass(frozen=True)
class Part:
    """Images of one part, as paths: `labels` (path: category), and those to predict, which have none.

    Image ids are the paths below `folder`, which ends with `/` or is empty.
    """

    folder: str
    labels: dict[str, str]
    unlabelled: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Layout:
    """What was understood: `parts` has `train`, and perhaps `val` and `test`.

    `layout` is a sentence; `tables` says what each table was taken for; `columns` holds names by category; `left_out`
    holds files and rows by reason; `missing` holds names in tables without a file.
    """

    layout: str
    parts: dict[str, Part]
    tables: dict[str, str]
    columns: dict[str, dict[str, str]]
    left_out: dict[str, list[str]]
    missing: list[str]
    notes: list[str]


@dataclass(frozen=True)
class _Folders:
    """Images by part, from the folders alone; `beside` are those in no part; `classes` may be known (path: class)."""

    parts: dict[str, list[str]]
    beside: list[str]
    described: str
    classes: dict[str, str] | None = None


def understand(
    images: Sequence[str],
    tables: Mapping[str, LabelTable | str],
    columns: Columns | None = None,
    chosen: str | None = None,
    merge: bool = False,
) -> Layout:
    """Return what the images and tables of a folder mean.

    `images` are POSIX paths. A table that could not be read is given as the reason. `chosen` is the table that the user
    named. With `merge`, classes that differ only in case, white space or Unicode form become one. Raises InputError if
    there are no labels, or if names in a table fit several files.
    """
    folders = _find_parts(images)
    classes = folders.classes or _class_folders(folders.parts.get(TRAIN, []))
    has_classes = len(set(classes.values())) > 1
    uses = {
        path: _use(path, table, folders, columns or Columns(), path == chosen, has_classes)
        for path, table in tables.items()
    }
    labels = _table_labels(uses)
    part_of = _part_of_images(folders, uses, {**classes, **labels})
    by_table = _tables_label(labels, classes, part_of, is_chosen=chosen is not None)
    if not by_table:
        uses = {path: _without_labels(use) for path, use in uses.items()}
        labels = {path: [name] for path, name in _classes_of_all(folders, classes).items()}
    if by_table or not classes:
        _check_ambiguous(uses)
    left_out = _problems_of_rows(uses)
    left_out[OUTSIDE_PARTS] = [path for path in folders.beside if path not in part_of]
    labels, notes = _one_spelling(labels, merge)
    single = _without_contradictions(labels, left_out)
    if not any(part_of.get(path) == TRAIN for path in single):
        raise InputError(_nothing_understood(folders, uses, classes))
    parts = _build_parts(part_of, single, classes, by_table, left_out)
    counts = Counter(parts[TRAIN].labels.values())
    if by_table:
        notes += _disagreement(parts[TRAIN].labels, classes)
    sources = [path for path, use in uses.items() if use.labels]
    kind = f"labels from {', '.join(sources)}" if by_table else "one folder per class"
    return Layout(
        layout=f"{kind}; {folders.described}",
        parts=parts,
        tables={path: use.taken_for for path, use in uses.items()},
        columns=_names(set(single.values()), uses),
        left_out={reason: sorted(found) for reason, found in left_out.items() if found},
        missing=sorted({name for use in uses.values() for name in use.missing}),
        notes=[*notes, *notes_on_classes(counts), *(note for use in uses.values() for note in use.notes)],
    )


def _find_parts(images: Sequence[str]) -> _Folders:
    """Tell the folders of training, validation and test images apart."""
    base = _entered(images)
    by_folder: dict[str, list[str]] = defaultdict(list)
    for path in images:
        by_folder[_component(path, base)].append(path)
    direct = by_folder.pop("", [])
    named = {folder: part for folder in by_folder if (part := part_of_folder(folder)) is not None}
    others = [folder for folder in by_folder if folder not in named]
    where = f" in {base}" if base else ""
    has_train = TRAIN in named.values()
    if has_train and not _is_class_called_train(by_folder, named, others):
        parts = _group((named[folder], by_folder[folder]) for folder in named)
        beside = [path for folder in others for path in by_folder[folder]] + direct
        return _Folders(parts, beside, f"parts{where}: {', '.join(f'{folder}/' for folder in sorted(named))}")
    is_within_part = any(part_of_folder(folder) for folder in base.split("/"))
    if named and not has_train and not is_within_part and (others or direct):
        parts = _group((named[folder], by_folder[folder]) for folder in named)
        parts[TRAIN] = [path for folder in others for path in by_folder[folder]] + direct
        told = ", ".join(f"{folder}/" for folder in sorted(named))
        return _Folders(parts, [], f"parts{where}: {told}, and all other folders for training")
    by_part = _parts_within_classes(images, base)
    if by_part is not None:
        classes = {path: _component(path, base) for path in images}
        return _Folders(by_part, [], f"parts{where} within each class folder", classes)
    return _Folders({TRAIN: list(images)}, [], f"all images{where} for training")


def _is_class_called_train(by_folder: Mapping[str, list[str]], named: Mapping[str, str], others: list[str]) -> bool:
    """Say whether `train` stands among flat class folders, such as car and plane, and no other part does."""
    flat = all(path.count("/") == _depth(by_folder) for folder in by_folder for path in by_folder[folder])
    return set(named.values()) == {TRAIN} and len(others) > 1 and flat


def _depth(by_folder: Mapping[str, list[str]]) -> int:
    return min(path.count("/") for paths in by_folder.values() for path in paths)


def _parts_within_classes(images: Sequence[str], base: str) -> dict[str, list[str]] | None:
    """Return the parts of `class/train/image`, or None if the folders are not of this form."""
    found = []
    for path in images:
        components = path[len(base) :].split("/")
        part = part_of_folder(components[1]) if len(components) > 2 else None
        if part is None:
            return None
        found.append((part, [path]))
    parts = _group(found)
    return parts if TRAIN in parts and len(parts) > 1 else None


def _class_folders(images: Sequence[str]) -> dict[str, str]:
    """Return the class of each image that lies in a class folder; empty if there are none.

    Class folders are the first level with several folders; or the second, if the folders of the first all hold the
    same ones, as in `batch1/rose`, `batch1/tulip`, `batch2/rose`, `batch2/tulip`.
    """
    base = _entered(images)
    classes = {path: component for path in images if (component := _component(path, base))}
    inner: dict[str, set[str]] = defaultdict(set)
    for path, folder in classes.items():
        inner[folder].add(_component(path, f"{base}{folder}/"))
    shared = set.intersection(*inner.values()) if inner else set()
    every = set.union(*inner.values()) if inner else set()
    if len(inner) > 1 and "" not in every and len(shared) > 1 and 2 * len(shared) >= len(every):
        return {path: _component(path, f"{base}{folder}/") for path, folder in classes.items()}
    return classes


def _classes_of_all(folders: _Folders, classes: dict[str, str]) -> dict[str, str]:
    """Return the class of each image in any part: the folder on its path that is a class of the training part."""
    known = set(classes.values())
    found = dict(classes)
    for part, images in folders.parts.items():
        for path in images:
            if path in found:
                continue
            above = path.split("/")[:-1]
            below = next(
                (above[place + 1 :] for place, name in enumerate(above) if part_of_folder(name) == part), above
            )
            match = next((component for component in reversed(below) if component in known), None)
            if match is not None:
                found[path] = match
            elif below and part == VAL:
                found[path] = below[-1]
    return found


def _use(
    path: str, table: LabelTable | str, folders: _Folders, columns: Columns, is_chosen: bool, has_classes: bool
) -> TableUse:
    if isinstance(table, str):
        if is_chosen:
            raise InputError(table)
        return TableUse(f"not used: {table.removeprefix(path).lstrip(':, ').rstrip('.')}")
    groups = {**folders.parts, "beside": folders.beside}
    return use_table(path, table, groups, columns, is_chosen, has_classes)


def _part_of_images(folders: _Folders, uses: Mapping[str, TableUse], labelled: Mapping[str, object]) -> dict[str, str]:
    """Return the part of each image: what tables say, but no table moves an image of a test part to training.

    An example of a submission only speaks of images that nothing labels.
    """
    part_of = {path: part for part, images in folders.parts.items() for path in images}
    rank = {TRAIN: 0, VAL: 1, TEST: 2}
    for use in uses.values():
        for path, part in use.parts.items():
            if not (use.is_example and path in labelled):
                part_of[path] = max(part, part_of.get(path, part), key=rank.__getitem__)
        for path in use.labels:
            part_of.setdefault(path, TRAIN)
    return part_of


def _table_labels(uses: Mapping[str, TableUse]) -> dict[str, list[str]]:
    labels: dict[str, list[str]] = {}
    for use in uses.values():
        for path, found in use.labels.items():
            known = labels.setdefault(path, [])
            known += [label for label in found if label not in known]
    return labels


def _tables_label(
    labels: Mapping[str, list[str]], classes: Mapping[str, str], part_of: Mapping[str, str], is_chosen: bool
) -> bool:
    """Say whether the labels come from tables rather than from class folders."""
    if is_chosen or len(set(classes.values())) < 2:
        return bool(labels)
    train = [path for path, part in part_of.items() if part == TRAIN]
    return sum(path in labels for path in train) >= _ENOUGH * len(train) > 0


def _without_labels(use: TableUse) -> TableUse:
    if not use.labels:
        return use
    return TableUse(f"not used: it names {len(use.labels)} of the images, which lie in class folders")


def _check_ambiguous(uses: Mapping[str, TableUse]) -> None:
    for path, use in uses.items():
        for name, files in use.ambiguous.items():
            raise InputError(
                f"{path}: {name} fits {len(files)} files, {' and '.join(files[:2])}. "
                "Write their folders into the table, or remove all but one."
            )


def _problems_of_rows(uses: Mapping[str, TableUse]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for path, use in uses.items():
        for reason, rows in use.problems.items():
            found[reason] += [f"{path}, {row}" for row in rows]
    return found


def _one_spelling(labels: Mapping[str, list[str]], merge: bool) -> tuple[dict[str, list[str]], list[str]]:
    """Write each number in one way (see `uniform_labels`), and with `merge` also names that look alike."""
    flat = [label for found in labels.values() for label in found]
    spelled, notes = uniform_labels(flat)
    merged = merge_alike(Counter(spelled)) if merge else {}
    notes += [f"'{old}' is merged into '{name}'" for old, name in merged.items() if old != name]
    new = {old: merged.get(label, label) for old, label in zip(flat, spelled, strict=True)}
    return {path: list(dict.fromkeys(new[label] for label in found)) for path, found in labels.items()}, notes


def _disagreement(labels: Mapping[str, str], classes: Mapping[str, str]) -> list[str]:
    """Return a note if a few images lie in another folder than the others of their label."""
    usual: dict[str, Counter[str]] = defaultdict(Counter)
    for path, label in labels.items():
        usual[label][classes.get(path, "")] += 1
    odd = [path for path, label in labels.items() if classes.get(path, "") != usual[label].most_common(1)[0][0]]
    if not odd or len(odd) > _FEW * len(labels):
        return []
    return [f"{len(odd)} images lie in another folder than most images of their label, such as {odd[0]}"]


def _without_contradictions(labels: Mapping[str, list[str]], left_out: dict[str, list[str]]) -> dict[str, str]:
    single = {}
    for path, found in labels.items():
        if len(found) == 1:
            single[path] = found[0]
        else:
            left_out[CONTRADICTIONS].append(f"{path}: {', '.join(found)}")
    return single


def _build_parts(
    part_of: Mapping[str, str],
    labels: Mapping[str, str],
    classes: Mapping[str, str],
    by_table: bool,
    left_out: dict[str, list[str]],
) -> dict[str, Part]:
    images: dict[str, list[str]] = defaultdict(list)
    for path, part in part_of.items():
        images[part].append(path)
    trained = {labels[path] for path in images[TRAIN] if path in labels}
    contradictory = {entry.rpartition(": ")[0] for entry in left_out[CONTRADICTIONS]}
    parts = {}
    for part in (TRAIN, VAL, TEST):
        if part not in images:
            continue
        labelled = {path: labels[path] for path in images[part] if path in labels}
        unknown = [path for path, label in labelled.items() if label not in trained]
        left_out[UNKNOWN_CLASS] += unknown
        known = {path: label for path, label in labelled.items() if label in trained}
        unlabelled = [path for path in images[part] if path not in labels and path not in contradictory]
        if part != TEST:
            left_out[NO_LABEL if by_table or part == VAL else OUTSIDE_CLASSES] += unlabelled
        kept = [*known, *(unlabelled + unknown if part == TEST else [])]
        folder = _folder_of_part(kept, known if not by_table else {}, classes)
        parts[part] = Part(folder, known, sorted(unlabelled + unknown) if part == TEST else [])
    return parts


def _folder_of_part(images: Sequence[str], labels: Mapping[str, str], classes: Mapping[str, str]) -> str:
    """Return the folder below which the ids of a part begin: above its class folders, or the one that all share."""
    above = {path[: path.rindex(f"{label}/")] for path, label in labels.items() if f"{label}/" in path}
    if len(above) == 1 and len(labels) == len(images):
        return above.pop()
    return _shared(images)


def _names(categories: set[str], uses: Mapping[str, TableUse]) -> dict[str, dict[str, str]]:
    """Return the columns of each category; `name` comes first, and is the category itself if no table has one."""
    spelled = {}
    for use in uses.values():
        keys = list(use.names)
        for key, same in zip(keys, uniform_labels(keys)[0], strict=True):
            spelled.setdefault(same, {}).update(use.names[key])
    columns = {}
    for category in categories:
        found = spelled.get(category, {})
        name = next((found[key] for key in (*_DISPLAY_NAMES, *found) if found.get(key)), category)
        columns[category] = {"name": name, **{key: text for key, text in found.items() if key != "name"}}
    return columns


def _nothing_understood(folders: _Folders, uses: Mapping[str, TableUse], classes: Mapping[str, str]) -> str:
    told = "".join(f" {path}: {use.taken_for}." for path, use in uses.items())
    images = folders.parts.get(TRAIN, [])
    classes_found = sorted(set(classes.values())) or [_shared(images).rstrip("/").rpartition("/")[2]]
    if len(classes_found) == 1 and _may_be_a_class(classes_found[0]):
        return f"One class was found, '{classes_found[0]}'; a classifier needs two or more.{told}"
    return (
        f"{len(images)} training images, but no labels for them: neither two or more class folders, nor a table of "
        f"image names and labels.{told}"
    )


def _may_be_a_class(folder: str) -> bool:
    return folder.casefold() not in ("", "images", "imgs", "image", "data") and part_of_folder(folder) is None


def _entered(images: Sequence[str]) -> str:
    """Return the folder, with a slash, that is entered because it alone holds images; empty for the top."""
    base = ""
    while True:
        inner = {_component(path, base) for path in images}
        if len(inner) != 1 or "" in inner:
            return base
        base += f"{inner.pop()}/"


def _shared(images: Sequence[str]) -> str:
    """Return the deepest folder, with a slash, that all images share."""
    return _entered(images) if images else ""


def _component(path: str, base: str) -> str:
    """Return the first folder of `path` below `base`, or nothing for a file directly in it."""
    return path[len(base) :].rpartition("/")[0].split("/")[0]


def _group(pairs: Iterable[tuple[str, list[str]]]) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = defaultdict(list)
    for part, paths in pairs:
        grouped[part] += paths
    return dict(grouped)
