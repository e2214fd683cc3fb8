"""A report as a list of blocks, rendered as HTML and as Typst."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

HTML, PDF = "html", "pdf"

# (English, Chinese) to the text in the report's language
Say = Callable[[str, str], str]


@dataclass(frozen=True)
class Heading:
    """The title of a section; `name` is its name in `dropped`."""

    text: str
    name: str


@dataclass(frozen=True)
class Paragraph:
    """Plain text; `only` names the one form (`HTML` or `PDF`) that shows it, None means both.

    All blocks have this field.
    """

    text: str
    only: str | None = None


@dataclass(frozen=True)
class Subheading:
    """A title within a section."""

    text: str
    only: str | None = None


@dataclass(frozen=True)
class Table:
    """Rows of text under a header; the caption stands above."""

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    only: str | None = None


@dataclass(frozen=True)
class Picture:
    """An image file with its caption below; `width` is a fraction of the width of the page."""

    path: Path
    caption: str
    width: float = 1.0
    only: str | None = None


@dataclass(frozen=True)
class Code:
    """A command line or a text to be copied."""

    text: str
    only: str | None = None


Block = Heading | Subheading | Paragraph | Table | Picture | Code


@dataclass(frozen=True)
class Document:
    """A title, a line below it, the language (`zh` or `en`), and the blocks."""

    title: str
    subtitle: str
    language: str
    blocks: list[Block]


def blocks_for(document: Document, form: str) -> list[Block]:
    """Return the blocks that `form` shows."""
    return [block for block in document.blocks if getattr(block, "only", None) in (None, form)]
