"""What python-docx has no call for, as the XML of Word: fields, links, rules of tables, fonts, numbered headings."""

from importlib import import_module
from types import ModuleType
from typing import Any

from common.packages import require_package

_LINKS_TO = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/hyperlink"


def check_docx() -> None:
    """Raise InputError if the package that makes the Word file is not installed."""
    require_package("docx", "The Word file needs the package python-docx", "requirements-report.txt")


def docx(module: str = "") -> ModuleType:
    """Import the optional package by name: the import check of a ZIP treats an import statement as a requirement."""
    return import_module(f"docx{module}")


def element(tag: str, **attributes: object) -> Any:
    """Return an element of Word's namespace: `element("fldChar", fldCharType="begin")`."""
    made = docx(".oxml").OxmlElement(f"w:{tag}")
    for name, value in attributes.items():
        made.set(docx(".oxml.ns").qn(f"w:{name}"), str(value))
    return made


def add_field(paragraph: Any, code: str, shown: str) -> None:
    """Add a field such as `PAGE`; `shown` stands there until Word computes it again."""
    instruction = element("instrText")
    instruction.text = f" {code} "
    paragraph.add_run()._r.append(element("fldChar", fldCharType="begin"))
    paragraph.add_run()._r.append(instruction)
    paragraph.add_run()._r.append(element("fldChar", fldCharType="separate"))
    paragraph.add_run(shown)
    paragraph.add_run()._r.append(element("fldChar", fldCharType="end"))


def add_link(paragraph: Any, text: str, target: str) -> None:
    """Add a link to a bookmark (`#ref-3`) or to an address."""
    if target.startswith("#"):
        link = element("hyperlink", anchor=bookmark_name(target[1:]))
    else:
        link = element("hyperlink")
        link.set(docx(".oxml.ns").qn("r:id"), paragraph.part.relate_to(target, _LINKS_TO, is_external=True))
    run = paragraph.add_run(text)
    run.font.color.rgb = docx(".shared").RGBColor(0x00, 0x4F, 0x80)
    link.append(run._r)
    paragraph._p.append(link)


def add_bookmark(paragraph: Any, name: str, number: int) -> None:
    """Put a bookmark around what the paragraph holds; `number` is unique in the document."""
    paragraph._p.insert(1 if paragraph._p.pPr is not None else 0, element("bookmarkStart", id=number, name=name))
    paragraph._p.append(element("bookmarkEnd", id=number))


def bookmark_name(target: str) -> str:
    """Return a name that Word accepts, which has no hyphen."""
    return target.replace("-", "_")


def set_fonts(style: Any, latin: str, chinese: str) -> None:
    """Set the fonts of a style; those of the theme, which would win, go."""
    fonts = style.element.get_or_add_rPr().get_or_add_rFonts()
    fonts.attrib.clear()
    for name, font in (("ascii", latin), ("hAnsi", latin), ("cs", latin), ("eastAsia", chinese)):
        fonts.set(docx(".oxml.ns").qn(f"w:{name}"), font)


def set_language(style: Any, language: str) -> None:
    """Tell Word's spelling the language of the text."""
    style.element.get_or_add_rPr().append(
        element("lang", val="en-GB", eastAsia="zh-CN" if language == "zh" else "en-GB")
    )


def draw_rules(table: Any) -> None:
    """Draw the three rules of a table, and repeat its first row on each page."""
    borders = element("tblBorders")
    for side in ("top", "bottom"):
        borders.append(element(side, val="single", sz=8, space=0, color="000000"))
    # Word refuses these in another order
    table._tbl.tblPr.insert_element_before(borders, "w:shd", "w:tblLayout", "w:tblCellMar", "w:tblLook")
    first = table.rows[0]
    first._tr.get_or_add_trPr().append(element("tblHeader"))
    for cell in first.cells:
        below = element("tcBorders")
        below.append(element("bottom", val="single", sz=4, space=0, color="000000"))
        cell._tc.get_or_add_tcPr().append(below)
    for row in table.rows:
        row._tr.get_or_add_trPr().insert(0, element("cantSplit"))


def number_headings(document: Any) -> None:
    """Let Word number `Heading 1` and `Heading 2` as 1 and 1.1."""
    numbering = document.part.numbering_part.element
    levels = element("abstractNum", abstractNumId=90)
    levels.append(element("multiLevelType", val="multilevel"))
    for level, pattern in enumerate(("%1", "%1.%2")):
        one = element("lvl", ilvl=level)
        one.append(element("start", val=1))
        one.append(element("numFmt", val="decimal"))
        one.append(element("pStyle", val=f"Heading{level + 1}"))
        one.append(element("suff", val="space"))
        one.append(element("lvlText", val=pattern))
        one.append(element("lvlJc", val="left"))
        levels.append(one)
    # Word wants all lists' definitions before their uses
    numbering.insert(0, levels)
    use = element("num", numId=90)
    use.append(element("abstractNumId", val=90))
    numbering.append(use)
    for level in (0, 1):
        properties = element("numPr")
        properties.append(element("ilvl", val=level))
        properties.append(element("numId", val=90))
        style = document.styles[f"Heading {level + 1}"].element.get_or_add_pPr()
        style._insert_numPr(properties)
