"""The report as a Word file of A4 pages in two columns, written by the package python-docx."""

import re
from pathlib import Path
from typing import Any

from common.errors import RunError
from common.files import replacing
from competition.report.document import (
    DOCX,
    Block,
    Code,
    Document,
    Draft,
    Heading,
    Paragraph,
    Picture,
    Subheading,
    Table,
)
from competition.report.docx_parts import (
    add_bookmark,
    add_field,
    add_link,
    bookmark_name,
    docx,
    draw_rules,
    element,
    number_headings,
    set_fonts,
    set_language,
)
from competition.report.labels import (
    CAPTION_GAP,
    blocks_for,
    column_signs,
    joined_keywords,
    linked,
    numeric_columns,
    widest_column,
    word,
)

# as in the PDF, whose columns the pictures were drawn for
TEXT_CM, COLUMN_CM, GAP_CM, PICTURE_CM = 17.4, 8.4, 0.6, 20.0

# a sign of a table's text on average, and the borders of a cell
SIGN_CM, CELL_MARGIN_CM = 0.17, 0.4

# names of the fonts of Windows, which Word replaces elsewhere
LATIN, CHINESE, CHINESE_HEADING, MONOSPACED = "Times New Roman", "SimSun", "SimHei", "Consolas"

# signs that XML forbids
_FORBIDDEN = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write_docx(document: Document, output: Path) -> None:
    """Write the file. Raises RunError if a picture cannot be used by Word."""
    word_file = _blank(document)
    count = len(document.references)
    word_file.add_paragraph(_clean(document.title), style="Title")
    word_file.add_paragraph(_clean(document.subtitle), style="Subtitle")
    gap = CAPTION_GAP[document.language]
    for name, text in (
        ("Abstract", document.abstract),
        ("Keywords", joined_keywords(document.keywords, document.language)),
    ):
        if text:
            paragraph = word_file.add_paragraph()
            paragraph.add_run(word(name, document.language) + gap).bold = True
            _add_text(paragraph, text, count)
    for block, number in blocks_for(document, DOCX):
        wide = isinstance(block, Table | Picture) and block.wide
        _start_columns(word_file, 1 if wide else 2)
        _add(word_file, block, number, document)
    if document.references:
        _start_columns(word_file, 2)
        _add_references(word_file, document)
    with replacing(output) as temporary:
        word_file.save(temporary)


def _blank(document: Document) -> Any:
    """Return an empty Word document with the page, the styles and the footer of a report."""
    blank = docx().Document()
    page, cm = blank.sections[0], docx(".shared").Cm
    page.page_width, page.page_height = cm(21), cm(29.7)
    page.left_margin = page.right_margin = cm((21 - TEXT_CM) / 2)
    page.top_margin = page.bottom_margin = cm(2)
    _set_styles(blank.styles, document.language)
    number_headings(blank)
    blank.core_properties.title = _clean(document.title)
    blank.core_properties.author = ""
    blank.core_properties.language = document.language
    footer = page.footer.paragraphs[0]
    footer.alignment = docx(".enum.text").WD_ALIGN_PARAGRAPH.CENTER
    add_field(footer, "PAGE", "1")
    footer.add_run(" / ")
    add_field(footer, "NUMPAGES", "1")
    return blank


def _start_columns(word_file: Any, count: int) -> None:
    """Let what follows stand in so many columns, below what stands already."""
    qn = docx(".oxml.ns").qn
    name, gap = qn("w:num"), qn("w:space")
    columns = word_file.sections[-1]._sectPr.find(qn("w:cols"))
    if int(columns.get(name, 1)) == count:
        return
    word_file.add_section(docx(".enum.section").WD_SECTION.CONTINUOUS)
    _end_in_last_paragraph(word_file)
    columns = word_file.sections[-1]._sectPr.find(qn("w:cols"))
    columns.set(name, str(count))
    columns.set(gap, str(docx(".shared").Cm(GAP_CM).twips))


def _end_in_last_paragraph(word_file: Any) -> None:
    """Let a section end with its last paragraph, not with an empty one, which shows as a blank line."""
    ending = word_file.element.body[-2]
    ending.getprevious().get_or_add_pPr().append(ending.pPr.find(docx(".oxml.ns").qn("w:sectPr")))
    word_file.element.body.remove(ending)


def _set_styles(styles: Any, language: str) -> None:
    """Give Word's own styles the look of a paper, so that a change of a style changes the whole text."""
    points, alignments = docx(".shared").Pt, docx(".enum.text").WD_ALIGN_PARAGRAPH
    styles.add_style("Code", docx(".enum.style").WD_STYLE_TYPE.PARAGRAPH).base_style = styles["Normal"]
    styles["Code"].element.get_or_add_pPr().append(element("shd", val="clear", color="auto", fill="F3F3F3"))
    for name, latin, chinese, size in (
        ("Normal", LATIN, CHINESE, 10),
        ("Title", LATIN, CHINESE_HEADING, 18),
        ("Subtitle", LATIN, CHINESE, 11),
        ("Heading 1", LATIN, CHINESE_HEADING, 14),
        ("Heading 2", LATIN, CHINESE_HEADING, 12),
        ("Caption", LATIN, CHINESE, 9.5),
        ("Code", MONOSPACED, CHINESE, 9),
    ):
        style = styles[name]
        set_fonts(style, latin, chinese)
        style.font.size, style.font.color.rgb = points(size), docx(".shared").RGBColor(0, 0, 0)
        style.font.italic, style.font.bold = False, name in ("Title", "Heading 1", "Heading 2")
        if name in ("Title", "Subtitle", "Caption"):
            style.paragraph_format.alignment = alignments.CENTER
    for border in styles["Title"].element.findall(f".//{docx('.oxml.ns').qn('w:pBdr')}"):
        border.getparent().remove(border)
    set_language(styles["Normal"], language)
    styles["Normal"].paragraph_format.space_after = points(6)
    body = styles["Body Text"].paragraph_format
    body.alignment = alignments.JUSTIFY
    if language == "zh":
        # two characters, as Chinese papers do
        body.first_line_indent = points(20)


def _add(word_file: Any, block: Block, number: str, document: Document) -> None:
    count = len(document.references)
    match block:
        case Heading(text):
            word_file.add_heading(_clean(text), level=1)
        case Subheading(text):
            word_file.add_heading(_clean(text), level=2)
        case Paragraph(text):
            _add_text(word_file.add_paragraph(style="Body Text"), text, count)
        case Draft(text):
            _add_draft(word_file.add_paragraph(), text, document)
        case Code(text):
            word_file.add_paragraph(_clean(text), style="Code")
        case Table():
            _add_table(word_file, block, number, document)
        case Picture():
            _add_picture(word_file, block, number, document)


def _add_text(paragraph: Any, text: str, count: int) -> None:
    for piece, target in linked(_clean(text), count):
        if target:
            add_link(paragraph, piece, target)
        else:
            paragraph.add_run(piece)


def _add_draft(paragraph: Any, text: str, document: Document) -> None:
    yellow = docx(".enum.text").WD_COLOR_INDEX.YELLOW
    paragraph.add_run(f"[{word('edit me', document.language)}] ").bold = True
    _add_text(paragraph, text, len(document.references))
    for run in paragraph._p.iter(docx(".oxml.ns").qn("w:r")):
        docx(".text.run").Run(run, paragraph).font.highlight_color = yellow


def _add_caption(word_file: Any, text: str, number: str, document: Document) -> Any:
    """Add `Table 1: ...`, with a field for the number, so that Word counts anew when one is added."""
    name, _, figure = number.rpartition(" ")
    caption = word_file.add_paragraph(style="Caption")
    caption.add_run(f"{name} ")
    kind = "Table" if name == word("Table", document.language) else "Figure"
    add_field(caption, rf"SEQ {kind} \* ARABIC", figure)
    caption.add_run(CAPTION_GAP[document.language])
    _add_text(caption, text, len(document.references))
    return caption


def _add_table(word_file: Any, block: Table, number: str, document: Document) -> None:
    _add_caption(word_file, block.caption, number, document).paragraph_format.keep_with_next = True
    alignments = docx(".enum.text").WD_ALIGN_PARAGRAPH
    table = word_file.add_table(rows=0, cols=len(block.header))
    table.alignment = docx(".enum.table").WD_TABLE_ALIGNMENT.CENTER
    numeric, points = numeric_columns(block), docx(".shared").Pt
    table.autofit = True
    # python-docx gives all columns the same width, and LibreOffice keeps it
    for column, width in zip(table._tbl.tblGrid.gridCol_lst, _column_widths(block), strict=True):
        column.w = docx(".shared").Cm(width)
    for index, row in enumerate([block.header, *block.rows]):
        for cell, text, right in zip(table.add_row().cells, row, numeric, strict=True):
            paragraph = cell.paragraphs[0]
            _add_text(paragraph, text, len(document.references))
            paragraph.alignment = alignments.RIGHT if right else alignments.LEFT
            paragraph.paragraph_format.space_after = points(1)
            # a short table stays on one page
            paragraph.paragraph_format.keep_with_next = index == 0 or (len(block.rows) < 15 and index < len(block.rows))
            for run in paragraph._p.iter(docx(".oxml.ns").qn("w:r")):
                shown = docx(".text.run").Run(run, paragraph)
                shown.font.size, shown.font.bold = points(9), index == 0
    draw_rules(table)
    word_file.add_paragraph().paragraph_format.space_after = points(2)


def _column_widths(table: Table) -> list[float]:
    """Return the widths of a table's columns in centimetres; where they have no room, the longest cells get less."""
    room = TEXT_CM if table.wide else COLUMN_CM
    natural = [SIGN_CM * signs + CELL_MARGIN_CM for signs in column_signs(table)]
    widest = widest_column(natural, room)
    return [min(width, widest) for width in natural]


def _add_picture(word_file: Any, block: Picture, number: str, document: Document) -> None:
    path = block.path.with_suffix(".png") if block.path.suffix.lower() == ".svg" else block.path
    if not path.is_file():
        raise RunError(f"{path}: missing; Word needs it in place of {block.path.name}. Write the report again.")
    cm, paragraph = docx(".shared").Cm, word_file.add_paragraph()
    paragraph.alignment = docx(".enum.text").WD_ALIGN_PARAGRAPH.CENTER
    # a wide one has a part of its own, in which LibreOffice lets what is kept together lie on the next part
    paragraph.paragraph_format.keep_with_next = not block.wide
    picture = paragraph.add_run().add_picture(str(path), width=cm(block.width * (TEXT_CM if block.wide else COLUMN_CM)))
    share = min(1, cm(PICTURE_CM) / picture.height)
    picture.width, picture.height = int(picture.width * share), int(picture.height * share)
    picture._inline.docPr.set("descr", _clean(block.alt or block.caption))
    _add_caption(word_file, block.caption, number, document)


def _add_references(word_file: Any, document: Document) -> None:
    heading = word_file.add_heading(word("References", document.language), level=1)
    # no number
    heading._p.get_or_add_pPr().get_or_add_numPr().get_or_add_numId().val = 0
    for number, text in enumerate(document.references, start=1):
        paragraph = word_file.add_paragraph()
        paragraph.paragraph_format.left_indent = docx(".shared").Cm(0.9)
        paragraph.paragraph_format.first_line_indent = docx(".shared").Cm(-0.9)
        paragraph.add_run(f"[{number}]\t")
        _add_text(paragraph, text, 0)
        add_bookmark(paragraph, bookmark_name(f"ref-{number}"), number)
        paragraph.paragraph_format.space_after = docx(".shared").Pt(2)
        for run in paragraph._p.iter(docx(".oxml.ns").qn("w:r")):
            docx(".text.run").Run(run, paragraph).font.size = docx(".shared").Pt(9)


def _clean(text: str) -> str:
    return _FORBIDDEN.sub("", text)
