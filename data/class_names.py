"""Names of classes: one spelling for a number, and notes on names that may be one class by mistake."""

import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from fractions import Fraction

_NUMBER = re.compile(r"[+-]?\d{1,18}(\.\d{0,18})?")

_FEW_IMAGES = 5

_MOST_OF_ALL = 0.9

_SHOWN = 5

# longer names are sentences, and comparing them takes much memory
_LONG = 40

# what programs write for a cell without a value
_MISSING = ("", "nan", "<na>", "n/a", "#n/a", "null")


def as_number(text: str) -> Fraction | None:
    """Return the number that a text is, full-width digits included; None for other texts."""
    plain = (text if text.isascii() else unicodedata.normalize("NFKC", text)).strip()
    return Fraction(plain.rstrip(".")) if _NUMBER.fullmatch(plain) else None


def is_missing(label: str) -> bool:
    """Say whether a cell holds no label: it is empty, or what programs write for that, such as `NaN`."""
    return label.strip().casefold() in _MISSING


def natural_order(text: str) -> list[tuple[int, int, str]]:
    """Return a sorting key by which 2 comes before 10."""
    parts = re.split(r"(\d+)", text)
    return [(0, int(part), "") if part.isascii() and part.isdigit() else (1, 0, part) for part in parts if part]


def uniform_labels(labels: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the labels with one spelling for each number, and a note for each number that had several.

    3, 3.0 and the full-width ３ are one class. Spaces around a label are removed where no other class is meant by it.
    """
    counts = Counter(labels)
    spellings: dict[object, list[str]] = {}
    for label in counts:
        number = as_number(label)
        spellings.setdefault(label if number is None else number, []).append(label)
    stripped = Counter(str(key).strip() for key in spellings)
    chosen, notes = {}, []
    for key, group in spellings.items():
        if isinstance(key, str):
            chosen[key] = key.strip() if stripped[key.strip()] == 1 else key
            continue
        best = max(group, key=lambda label: (counts[label], -len(label)))
        plain = unicodedata.normalize("NFKC", best).strip()
        best = re.sub(r"\.0*$", "", plain)
        chosen.update(dict.fromkeys(group, best))
        if len({label.strip() for label in group}) > 1:
            told = ", ".join(f"'{label}' ({counts[label]})" for label in group)
            notes.append(f"labels that are the same number are one class, {best}: {told}")
    return [chosen[label] for label in labels], notes


def classes_that_look_alike(classes: Collection[str]) -> list[list[str]]:
    """Return the groups of classes that differ only in case, white space or Unicode form."""
    groups: dict[str, list[str]] = {}
    for name in sorted(classes):
        key = " ".join(unicodedata.normalize("NFKC", name).casefold().split())
        groups.setdefault(key, []).append(name)
    return [group for group in groups.values() if len(group) > 1]


def classes_one_letter_apart(classes: Collection[str]) -> list[tuple[str, str]]:
    """Return pairs of names of 4 to 40 letters that differ by one letter, such as `tulip` and `tullip`."""
    names = {" ".join(name.casefold().split()): name for name in sorted(classes) if 3 < len(name) <= _LONG}
    pairs = set()
    by_gap: dict[str, list[str]] = {}
    for key in names:
        for place, sign in enumerate(key):
            if not sign.isalpha():
                continue
            shorter = key[:place] + key[place + 1 :]
            if shorter in names:
                pairs.add((names[shorter], names[key]))
            # one letter replaced: both names are equal but for this place
            by_gap.setdefault(f"{key[:place]}\0{key[place + 1 :]}", []).append(key)
    for keys in by_gap.values():
        pairs.update((names[keys[0]], names[other]) for other in keys[1:] if _is_misspelling(keys[0], other))
    return sorted(pairs)


def _is_misspelling(first: str, second: str) -> bool:
    """Tell `lily` and `lilly` from `type a` and `type b`, whose last words are single letters."""
    return all(len(word) > 1 for name in (first, second) for word in re.split(r"[^\w]|_", name) if word)


def merge_alike(counts: Mapping[str, int]) -> dict[str, str]:
    """Return the new name of each class that differs from another only in case, white space or Unicode form."""
    merged = {}
    for group in classes_that_look_alike(counts):
        best = max(group, key=lambda name: counts[name])
        merged.update(dict.fromkeys(group, best))
    return merged


def notes_on_classes(counts: Counter[str], others: Collection[str] = ()) -> list[str]:
    """Return sentences on classes (name: training images) that a person should look at; `others` have none."""
    notes = [
        f"{_with_counts(group, counts)} differ only in case, white space or Unicode form; they stay separate classes"
        for group in classes_that_look_alike({*counts, *others})
    ]
    notes += [f"{_with_counts(pair, counts)} differ by one letter" for pair in classes_one_letter_apart(counts)]
    few = [name for name, count in counts.items() if count < _FEW_IMAGES]
    if few:
        more = ", ..." if len(few) > _SHOWN else ""
        notes.append(
            f"{len(few)} classes have fewer than {_FEW_IMAGES} images: {_with_counts(few[:_SHOWN], counts, ', ')}{more}"
        )
    largest = max(counts, key=lambda name: counts[name])
    if len(counts) > 1 and counts[largest] >= _MOST_OF_ALL * sum(counts.values()):
        notes.append(
            f"{100 * counts[largest] / sum(counts.values()):.0f} % of the images are of one class, '{largest}'"
        )
    return notes


def _with_counts(names: Iterable[str], counts: Mapping[str, int], between: str = " and ") -> str:
    return between.join(f"'{name}' ({counts[name]})" for name in names)
