"""Listings and tables of folders, and what they are understood as, for the tests of layouts."""

from common.errors import InputError
from data.label_table import parse_table
from data.layout import understand


def parsed(name, text):
    try:
        return parse_table(text, name)
    except InputError as error:
        return str(error)


def read(images, tables=None, **options):
    return understand(images, {name: parsed(name, text) for name, text in (tables or {}).items()}, **options)


def parts_of(layout):
    """Image id to category; an image to predict has None."""
    return {
        name: {
            **{path.removeprefix(part.folder): label for path, label in part.labels.items()},
            **{path.removeprefix(part.folder): None for path in part.unlabelled},
        }
        for name, part in layout.parts.items()
    }


def images(*folders, suffix=".jpg", count=2):
    return [f"{folder}/{number}{suffix}" for folder in folders for number in range(1, count + 1)]


def labels(*classes, count=2):
    return {f"{name}/{number}.jpg": name for name in classes for number in range(1, count + 1)}


ROSES = labels("rose", "tulip")
FLAT = {"1.jpg": None, "2.jpg": None}

TABLE = "image_id,label\n1.jpg,7\n2.jpg,9\n"
TWO = {"1.jpg": "7", "2.jpg": "9"}
HERE = ["train/1.jpg", "train/2.jpg"]
KAGGLE = [*HERE, "test/3.jpg", "test/4.jpg"]
