"""A report as a list of blocks, rendered as HTML, as Typst and as a Word file."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

HTML, PDF, DOCX = "html", "pdf", "docx"

# (English, Chinese) to the text in the report's language
Say = Callable[[str, str], str]


@dataclass(frozen=True)
class Heading:
    """The title of a section; `name` is its name in `dropped`."""

    text: str
    name: str


@dataclass(frozen=True)
class Paragraph:
    """Plain text; `only` names the one form (`HTML`, or `PDF` with Word) that shows it, None means all.

    All blocks have this field. `[3]` in the text cites the third of the document's references, and `{curves}` gives the
    number of the picture or table with this key: `Figure 2`.
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
    """Rows of text under a header; the caption stands above. A `wide` one spans both columns of the page."""

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    wide: bool = False
    only: str | None = None
    key: str = ""


@dataclass(frozen=True)
class Picture:
    """An image file with its caption below; `width` is a fraction of the column, or of the page if it is `wide`.

    `path` is a PNG, JPEG or SVG; beside an SVG lies a PNG of the same stem, for Word. `alt` says what the image shows
    to whoever cannot see it; empty: the caption.
    """

    path: Path
    caption: str
    width: float = 1.0
    wide: bool = False
    alt: str = ""
    only: str | None = None
    key: str = ""


@dataclass(frozen=True)
class Code:
    """A command line or a text to be copied."""

    text: str
    only: str | None = None


@dataclass(frozen=True)
class Draft:
    """A paragraph that the team has to edit; it is shown with a mark."""

    text: str
    only: str | None = None


Block = Heading | Subheading | Paragraph | Table | Picture | Code | Draft


@dataclass(frozen=True)
class Document:
    """A title, a line below it (team and date), the language (`zh` or `en`), the blocks, and what frames them.

    `references` are in the order of their numbers, each a line with its DOI, arXiv number or address.
    """

    title: str
    subtitle: str
    language: str
    blocks: list[Block]
    abstract: str = ""
    keywords: Sequence[str] = ()
    references: Sequence[str] = ()
