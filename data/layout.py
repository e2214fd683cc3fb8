"""What a folder of photographs holds: parts, classes and tables, understood from its listing and its tables.

Everything here is a pure function of names and table cells; `prepare` reads and writes the files.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from common.errors import InputError
from data.all_tables import (
    UNKNOWN_CLASS,
    check_ambiguous,
    labels_beside,
    labels_of_all,
    notes_on_lists,
    problems_of_rows,
    tables_label,
    use_tables,
)
from data.class_names import merge_alike, notes_on_classes, uniform_labels
from data.label_table import LabelTable
from data.listing import shared_folder
from data.part_names import TEST, TRAIN, VAL, farther
from data.parts import Folders, class_folders, classes_of_all, find_parts, is_no_class, without_copies
from data.table_use import Columns, TableUse

CONTRADICTIONS = "images with two labels"
OUTSIDE_PARTS = "images beside the parts"
OUTSIDE_CLASSES = "images beside the class folders"
NO_LABEL = "images without a label"
COPIES = "masks and thumbnails beside their images"

_DISPLAY_NAMES = ("name", "english_name", "class_name", "label_name", "category_name", "common_name", "species")

_TOLD_TABLES = 5

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
    photographs, copies = without_copies(images)
    folders = find_parts(photographs)
    classes, notes = _training_classes(folders)
    known = set(classes.values())
    uses = use_tables(tables, photographs, folders, columns or Columns(), chosen, known if len(known) > 1 else set())
    labels = labels_of_all(uses)
    part_of = _part_of_images(folders, uses, {**classes, **labels})
    by_table = tables_label(labels, classes, part_of, is_chosen=chosen is not None)
    if by_table:
        notes = []
    else:
        by_folder = classes_of_all(folders, classes)
        uses = {path: labels_beside(use, by_folder, known) for path, use in uses.items()}
        labels = {**labels_of_all(uses), **{path: [name] for path, name in by_folder.items()}}
    if by_table or not classes:
        check_ambiguous(uses)
    left_out = problems_of_rows(uses)
    left_out[COPIES] = copies
    left_out[OUTSIDE_PARTS] = [path for path in folders.beside if path not in part_of]
    labels, spelling = _one_spelling(labels, merge)
    notes += spelling
    single = _without_contradictions(labels, left_out)
    trained = {single[path] for path, part in part_of.items() if part == TRAIN and path in single}
    if len(trained) < 2:
        raise InputError(_nothing_understood(part_of, uses, classes, trained, left_out[CONTRADICTIONS]))
    notes += notes_on_lists([path for path in single if part_of.get(path) == TRAIN], uses)
    parts = _build_parts(part_of, single, classes, by_table, left_out)
    counts = Counter(parts[TRAIN].labels.values())
    if by_table:
        notes += _disagreement(parts[TRAIN].labels, classes)
    notes += notes_on_classes(counts, set(single.values()))
    sources = ", ".join(path for path, use in uses.items() if use.labels)
    kind = f"labels from {sources}" if by_table else "one folder per class"
    if sources and not by_table:
        kind += f", and labels from {sources} for images outside these folders"
    return Layout(
        layout=f"{kind}; {folders.described}",
        parts=parts,
        tables={path: use.taken_for for path, use in uses.items()},
        columns=_names(set(single.values()), uses),
        left_out={reason: sorted(found) for reason, found in left_out.items() if found},
        missing=sorted({name for use in uses.values() for name in use.missing}),
        notes=[*notes, *(note for use in uses.values() for note in use.notes)],
    )


def _training_classes(folders: Folders) -> tuple[dict[str, str], list[str]]:
    """Return the class of each training image that lies in a class folder, and notes."""
    if folders.classes:
        return folders.classes, []
    images = folders.parts.get(TRAIN, [])
    roots = sorted(root for root, part in folders.roots.items() if part == TRAIN)
    classes: dict[str, str] = {}
    notes = []
    for root in roots or [""]:
        found, told = class_folders([path for path in images if path.startswith(root)])
        classes |= found
        notes += told
    return classes, list(dict.fromkeys(notes))


def _part_of_images(folders: Folders, uses: Mapping[str, TableUse], labelled: Mapping[str, object]) -> dict[str, str]:
    """Return the part of each image: what tables say, but no table moves an image of a test part to training.

    An example of a submission only speaks of images that nothing labels.
    """
    part_of = {path: part for part, images in folders.parts.items() for path in images}
    for use in uses.values():
        for path, part in use.parts.items():
            if not (use.is_example and path in labelled):
                part_of[path] = farther(part, part_of.get(path, part))
        for path in use.labels:
            part_of.setdefault(path, TRAIN)
    return part_of


def _one_spelling(labels: Mapping[str, list[str]], merge: bool) -> tuple[dict[str, list[str]], list[str]]:
    """Write each number in one way (see `uniform_labels`), and with `merge` also names that look alike."""
    flat = [label for found in labels.values() for label in found]
    spelled, notes = uniform_labels(flat)
    merged = merge_alike(Counter(spelled)) if merge else {}
    notes += [f"'{old}' is merged into '{name}'" for old, name in merged.items() if old != name]
    new = {old: merged.get(label, label) for old, label in zip(flat, spelled, strict=True)}
    return {path: _without_repeats([new[label] for label in found]) for path, found in labels.items()}, notes


def _without_repeats(labels: list[str]) -> list[str]:
    return labels if len(labels) == 1 else list(dict.fromkeys(labels))


def _disagreement(labels: Mapping[str, str], classes: Mapping[str, str]) -> list[str]:
    """Return a note if the labels differ from the class folders, in general or for a few images."""
    usual: dict[str, Counter[str]] = defaultdict(Counter)
    for path, label in labels.items():
        usual[label][classes.get(path, "")] += 1
    most = {label: folders.most_common(1)[0][0] for label, folders in usual.items()}
    odd = [path for path, label in labels.items() if classes.get(path, "") != most[label]]
    shared = len(set(most.values())) < len(most)
    if odd and (len(odd) > _FEW * len(labels) or shared) and len(set(classes.values())) > 1:
        return [f"the labels are those of the table, and not the folders, such as {min(classes.values())}/"]
    return [f"{len(odd)} images lie in another folder than most images of their label, such as {odd[0]}"] if odd else []


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
        if not kept:
            continue
        folder = _folder_of_part(kept, known if not by_table else {}, classes)
        parts[part] = Part(folder, known, sorted(unlabelled + unknown) if part == TEST else [])
    return parts


def _folder_of_part(images: Sequence[str], labels: Mapping[str, str], classes: Mapping[str, str]) -> str:
    """Return the folder below which the ids of a part begin: above its class folders, or the one that all share."""
    above = set()
    for path, label in labels.items():
        place = f"/{path}".rfind(f"/{label}/")
        above.add(path[:place] if place >= 0 else None)
    own = above.pop() if len(above) == 1 and len(labels) == len(images) else None
    return shared_folder(images) if own is None else own


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


def _nothing_understood(
    part_of: Mapping[str, str],
    uses: Mapping[str, TableUse],
    classes: Mapping[str, str],
    trained: set[str],
    contradictions: Sequence[str],
) -> str:
    told = "".join(f" {path}: {use.taken_for}." for path, use in list(uses.items())[:_TOLD_TABLES])
    images = [path for path, part in part_of.items() if part == TRAIN]
    if not images:
        parts = ", ".join(f"{count} of {part}" for part, count in sorted(Counter(part_of.values()).items()))
        return f"No images for training: {parts}.{told}"
    if contradictions:
        told += f" {len(contradictions)} images have two labels, such as {contradictions[0]}."
    inner = shared_folder(images).rstrip("/").rpartition("/")[2]
    found = sorted(trained) or sorted(set(classes.values())) or ([] if is_no_class(inner) else [inner])
    if len(found) == 1:
        return f"One class was found, '{found[0]}'; a classifier needs two or more.{told}"
    return (
        f"{len(images)} training images, but no labels for them: neither two or more class folders, nor a table of "
        f"image names and labels, whose columns are best called image_id and label.{told}"
    )
