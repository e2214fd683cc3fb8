"""What all forms of a report share: the words of its frame, the numbers of its parts, the links in its text."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from unicodedata import east_asian_width

from competition.report.document import (
    DOCX,
    PDF,
    Block,
    Document,
    Draft,
    Heading,
    Paragraph,
    Picture,
    Subheading,
    Table,
)

# between the number of a table or figure and its caption
CAPTION_GAP = {"en": ": ", "zh": "\u3000"}

# of the text's width where it has one column: a picture made for one of the PDF's two would have huge letters there
COLUMN = 0.62

_WORDS = {
    "Abstract": "摘要",
    "Contents": "目录",
    "Figure": "图",
    "Keywords": "关键词",
    "References": "参考文献",
    "Table": "表",
    "continued": "续",
    "edit me": "请修改",
    "Close": "关闭",
    "Enlarge": "放大",
    "Skip to the text": "跳到正文",
}

_LINK = re.compile(
    r"\[(?P<reference>\d{1,3})\]"
    r"|(?P<address>https?://[^\s<>\"，。；）]+[^\s<>\"，。；）.,;:)])"
    r"|doi: ?(?P<doi>10\.\d{4,9}/[^\s<>\"，。；）]+[^\s<>\"，。；）.,;:)])"
    r"|arXiv: ?(?P<arxiv>\d{4}\.\d{4,5})",
    re.IGNORECASE,
)

_KEY = re.compile(r"\{(\w+)\}")

_NUMBER = re.compile(r"[+\-\u2212]?\d")


def word(english: str, language: str) -> str:
    """Return a word of the frame in the report's language."""
    chinese = _WORDS[english]
    return chinese if language == "zh" else english


def joined_keywords(keywords: Sequence[str], language: str) -> str:
    """Return the keywords in one line."""
    return ("；" if language == "zh" else "; ").join(keywords)


def numbered(blocks: Sequence[Block], language: str) -> Iterator[tuple[Block, str]]:
    """Yield each block with its number: `2` or `2.1` of a heading, `Table 1`, `Figure 3`, or an empty text."""
    section = part = tables = figures = 0
    for block in blocks:
        match block:
            case Heading():
                section, part = section + 1, 0
                yield block, str(section)
            case Subheading():
                part += 1
                yield block, f"{section}.{part}"
            case Table():
                tables += 1
                yield block, f"{word('Table', language)} {tables}"
            case Picture():
                figures += 1
                yield block, f"{word('Figure', language)} {figures}"
            case _:
                yield block, ""


def blocks_for(document: Document, form: str) -> list[tuple[Block, str]]:
    """Return the blocks that `form` shows with their numbers, which also replace keys in the text: `{curves}`.

    Word shows what the PDF does. Braces around anything but a key stay as they are.
    """
    shown = PDF if form == DOCX else form
    kept = [block for block in document.blocks if getattr(block, "only", None) in (None, shown)]
    blocks = list(numbered(kept, document.language))
    numbers = {block.key: number for block, number in blocks if isinstance(block, Picture | Table) and block.key}
    return [(_with_numbers(block, numbers), number) for block, number in blocks]


def _with_numbers(block: Block, numbers: Mapping[str, str]) -> Block:
    if not isinstance(block, Paragraph | Draft):
        return block
    return replace(block, text=_KEY.sub(lambda match: numbers.get(match[1], match[0]), block.text))


def numeric_columns(table: Table) -> list[bool]:
    """Return, for each column but the first, whether all of its cells begin with a number; empty ones do not count."""
    columns = [[row[index] for row in table.rows if row[index]] for index in range(1, len(table.header))]
    return [False, *(bool(cells) and all(_NUMBER.match(cell) for cell in cells) for cells in columns)]


def linked(text: str, references: int) -> Iterator[tuple[str, str]]:
    """Yield the pieces of `text`, each with what it links to: `#ref-3` for `[3]`, an address, or an empty text.

    A number in brackets is a citation if there are that many `references`.
    """
    start = 0
    for match in _LINK.finditer(text):
        target = _target(match, references)
        if target:
            if match.start() > start:
                yield text[start : match.start()], ""
            yield match.group(), target
            start = match.end()
    if start < len(text):
        yield text[start:], ""


def _target(match: re.Match[str], references: int) -> str:
    if number := match["reference"]:
        return f"#ref-{int(number)}" if 1 <= int(number) <= references else ""
    if doi := match["doi"]:
        return f"https://doi.org/{doi}"
    if paper := match["arxiv"]:
        return f"https://arxiv.org/abs/{paper}"
    return match["address"]


def column_signs(table: Table) -> list[int]:
    """Return the width in signs of each column: that of its longest cell."""
    return [max(map(signs, column)) for column in zip(table.header, *table.rows, strict=True)]


def signs(text: str) -> int:
    """Return the width of `text`; a Chinese sign is as wide as two Latin ones."""
    return sum(2 if east_asian_width(sign) in "WF" else 1 for sign in text)


def widest_column(widths: Sequence[float], room: float) -> float:
    """Return the width that is left to the widest columns of a table in this room: narrow ones keep theirs."""
    whole = room
    for done, width in enumerate(sorted(widths)):
        fair = room / (len(widths) - done)
        if width > fair:
            return fair
        room -= width
    return whole
