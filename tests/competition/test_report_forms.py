"""The forms of a report: the same text, numbers and references in HTML, PDF and Word."""

# a None where a value should be fails the test like any other fault
# pyright: reportOptionalMemberAccess=false, reportAttributeAccessIssue=false

import itertools
import json
import re
import zipfile
from importlib.util import find_spec

import pytest

from common.errors import InputError, RunError
from competition.report.document import Document, Heading, Paragraph, Picture, Table
from competition.report.docx_report import write_docx
from competition.report.html_report import to_html
from competition.report.labels import linked, numeric_columns
from competition.report.typst_report import LATIN_FONT, compile_pdf, fonts_for, to_typst
from competition.report.write import write_report


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("as [2] and [3]", [("as ", ""), ("[2]", "#ref-2"), (" and [3]", "")]),
        ("[0] [02] [2017]", [("[0] ", ""), ("[02]", "#ref-2"), (" [2017]", "")]),
        ("doi:10.1109/X.3.", [("doi:10.1109/X.3", "https://doi.org/10.1109/X.3"), (".", "")]),
        ("arXiv:1608.03983v2", [("arXiv:1608.03983", "https://arxiv.org/abs/1608.03983"), ("v2", "")]),
        ("(https://a.org/b), 见", [("(", ""), ("https://a.org/b", "https://a.org/b"), ("), 见", "")]),
        ("", []),
    ],
)
def test_citations_and_addresses_become_links(text, pieces):
    assert list(linked(text, 2)) == pieces


def test_a_column_of_figures_is_numeric_whatever_unit_follows(paper):
    (table, _) = [block for block in paper[0]("en").blocks if hasattr(block, "rows")]
    assert numeric_columns(table) == [False, True, True]


@pytest.mark.parametrize(
    ("language", "names"), [("en", ("Table 1: ", "Figure 2: ")), ("zh", ("表 1\u3000", "图 2\u3000"))]
)
def test_all_forms_have_the_same_numbers_words_and_references(paper, tmp_path, language, names):
    docx = pytest.importorskip("docx", reason="python-docx is not installed (requirements-report.txt)")
    make, folder = paper
    document = make(language)
    page = re.sub(r"<[^>]+>", "", to_html(document).partition("<main")[2].partition("<dialog")[0])
    write_docx(document, tmp_path / "report.docx")
    word = docx.Document(str(tmp_path / "report.docx"))
    text = "\n".join(paragraph.text for paragraph in word.paragraphs)
    for shown in (page, text):
        for expected in (
            *names,
            "摘要" if language == "zh" else "Abstract",
            "[2]",
            "arXiv:1608.03983",
            "We measure [1].",
        ):
            assert expected in shown, expected
    source = to_typst(document, [LATIN_FONT], folder)
    # the numbers of parts that the text names; other braces stay
    for shown in (page, text, source):
        assert ("图 1 表 1 {nothing}" if language == "zh" else "Figure 1 Table 1 {nothing}") in shown
    assert source.count("cited(2)") == 24
    assert "cited(7)" not in source
    assert source.count(f'#let gap = "{names[0][3:] if language == "zh" else ": "}"') == 1


@pytest.mark.integration
@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_paper_compiles_and_again_after_an_edit(paper, language):
    make, folder = paper
    try:
        fonts = fonts_for(language)
    except InputError as error:
        pytest.skip(str(error))
    source = folder / f"{language}.typ"
    text = to_typst(make(language), fonts, folder)
    source.write_text(text, encoding="utf-8")
    # 90 rows of a wide table are more than a page, and a float cannot break
    assert 2 <= compile_pdf(source, folder / "paper.pdf") <= 4
    assert text.count("number => number - 1") == 2
    source.write_text(text.replace("Say what is new", "Nothing is new"), encoding="utf-8")
    before = (folder / "paper.pdf").read_bytes()
    compile_pdf(source, folder / "paper.pdf")
    assert (folder / "paper.pdf").read_bytes() != before


@pytest.mark.parametrize("height", [180, 300, 900])
def test_a_figure_between_wide_ones_stays_readable(tmp_path, height):
    """It waits for a column with room; what is higher than a page shrinks to it."""
    typst = pytest.importorskip("typst", reason="typst is not installed (requirements-report.txt)")
    for name, size in (("wide", (480, 230)), ("column", (240, height))):
        content = f'<svg xmlns="http://www.w3.org/2000/svg" width="{size[0]}" height="{size[1]}"></svg>'
        (tmp_path / f"{name}.svg").write_text(content, encoding="utf-8")
    text = Paragraph("word " * 120)
    wide, column = Picture(tmp_path / "wide.svg", "W", wide=True), Picture(tmp_path / "column.svg", "C")
    document = Document("T", "S", "en", [Heading("A", "a"), text, wide, text, column, text, wide, text])
    source = tmp_path / "report.typ"
    source.write_text(to_typst(document, [LATIN_FONT], tmp_path), encoding="utf-8")
    assert compile_pdf(source, tmp_path / "report.pdf") == 2
    images = json.loads(typst.Compiler(source, root=tmp_path).query("image"))
    (drawn,) = (float(it["height"].removesuffix("pt").split()[-1]) for it in images if it["source"] == "column.svg")
    whole = height * 237.5 / 240
    assert drawn <= 742
    assert drawn >= min(0.85 * whole, 680)


def test_the_longest_sections_are_named_in_pages_and_columns(tmp_path):
    def section(name, paragraphs):
        return [Heading(name, name), *[Paragraph("word " * 300)] * paragraphs]

    blocks = [*section("short", 1), *section("long", 40), *section("middle", 6)]
    source = tmp_path / "report.typ"
    document = Document("T", "S", "en", blocks, references=["x" * 90] * 60)
    source.write_text(to_typst(document, [LATIN_FONT], tmp_path), encoding="utf-8")
    with pytest.raises(RunError) as caught:
        compile_pdf(source, tmp_path / "report.pdf")
    lengths = re.findall(r"(\w+) \((\d+\.\d) pages\)", str(caught.value))
    assert [name for name, _ in lengths] == ["long", "middle", "short"]
    assert float(lengths[2][1]) < 1


def test_the_html_has_landmarks_alt_texts_and_links_within(paper):
    page = to_html(paper[0]("en"))
    assert [re.search(rf"<{tag}[ >]", page) is not None for tag in ("header", "nav", "main")] == [True] * 3
    images = re.findall(r"<figure class=\"picture\"><img [^>]*>", page)
    assert [re.search(r'alt="([^"]+)"', image).group(1) for image in images] == ["A line that rises and falls.", "Wide"]
    assert "data:image/svg+xml;base64," in images[0]
    targets = set(re.findall(r'href="#([^"]+)"', page))
    assert {"method", "results", "references", "ref-1", "ref-2", "text"} == targets
    assert targets <= set(re.findall(r'id="([^"]+)"', page))
    assert '<th scope="col" class="number">images</th>' in page
    assert '<p class="draft"><strong>edit me</strong> Say what is new <a href="#ref-1">[1]</a>.</p>' in page
    # nothing but links leads outside
    assert set(re.findall(r'src="([a-z]+):', page)) == {"data"}


def test_the_word_file_has_words_own_parts(paper, tmp_path):
    docx = pytest.importorskip("docx", reason="python-docx is not installed (requirements-report.txt)")
    write_docx(paper[0]("zh"), tmp_path / "report.docx")
    word = docx.Document(str(tmp_path / "report.docx"))
    styles = {paragraph.text: paragraph.style.name for paragraph in word.paragraphs}
    assert styles["Flowers <花>"] == "Title"
    assert styles["Method"] == "Heading 1"
    assert styles["Network"] == "Heading 2"
    assert styles["表 1\u3000Classes"] == "Caption"
    page = word.sections[0]
    assert (round(page.page_width.cm, 1), round(page.page_height.cm, 1)) == (21.0, 29.7)
    assert [picture._inline.docPr.get("descr") for picture in word.inline_shapes] == [
        "A line that rises and falls.",
        "Wide",
    ]
    with zipfile.ZipFile(tmp_path / "report.docx") as archive:
        text = archive.read("word/document.xml").decode("utf-8")
        fonts = archive.read("word/styles.xml").decode("utf-8")
        footer = archive.read("word/footer1.xml").decode("utf-8")
    assert text.count("SEQ Table ") == text.count("SEQ Figure ") == text.count("<w:tblBorders>") == 2
    assert 'w:eastAsia="SimSun"' in fonts
    assert "PAGE" in footer
    draft = next(paragraph for paragraph in word.paragraphs if "Say what is new" in paragraph.text)
    assert draft.text.startswith("[请修改] ")
    assert {str(run.font.highlight_color) for run in draft.runs} == {"YELLOW (7)"}
    # each citation leads to a reference that is there
    assert set(re.findall(r'w:anchor="(\w+)"', text)) <= set(re.findall(r'<w:bookmarkStart [^>]*w:name="(\w+)"', text))


def test_the_word_file_has_two_columns_beside_wide_parts(paper, tmp_path):
    docx = pytest.importorskip("docx", reason="python-docx is not installed (requirements-report.txt)")
    document = paper[0]("en")
    write_docx(document, tmp_path / "report.docx")
    word = docx.Document(str(tmp_path / "report.docx"))
    name = docx.oxml.ns.qn("w:num")
    columns = [int(section._sectPr.find(docx.oxml.ns.qn("w:cols")).get(name, 1)) for section in word.sections]
    wide = [block for block in document.blocks if isinstance(block, Picture | Table) and block.wide]
    assert columns[:2] == [1, 2]
    # the title, and each wide part or row of them
    assert 1 < columns.count(1) <= 1 + len(wide)
    assert all(first != second for first, second in itertools.pairwise(columns))
    ends = [paragraph for paragraph in word.paragraphs if paragraph._p.xpath("./w:pPr/w:sectPr")]
    assert len(ends) == len(columns) - 1
    # after a table an empty line stands anyway
    assert all(end.text or end._p.getprevious().tag.endswith("}tbl") for end in ends)


def test_signs_that_xml_forbids_are_left_out_of_the_word_file(tmp_path):
    docx = pytest.importorskip("docx", reason="python-docx is not installed (requirements-report.txt)")
    write_docx(Document("a\x01b", "\x1b", "en", [Paragraph("c\x00d 🌹")]), tmp_path / "report.docx")
    word = docx.Document(str(tmp_path / "report.docx"))
    assert [paragraph.text for paragraph in word.paragraphs] == ["ab", "", "cd 🌹"]


def test_a_picture_without_its_png_is_named(paper, tmp_path):
    pytest.importorskip("docx", reason="python-docx is not installed (requirements-report.txt)")
    (tmp_path / "alone.svg").write_text("<svg/>", encoding="utf-8")
    document = Document("T", "S", "en", [Picture(tmp_path / "alone.svg", "x")])
    with pytest.raises(RunError, match=r"alone\.png: missing"):
        write_docx(document, tmp_path / "report.docx")
    assert not (tmp_path / "report.docx").exists()


@pytest.mark.parametrize(
    ("forms", "sentence"),
    [(["docx", "odt"], r"form 'odt':.* Choose from html, pdf, docx"), ([], "No form of the report is named")],
)
def test_an_unknown_form_is_named(tmp_path, forms, sentence):
    with pytest.raises(InputError, match=sentence):
        write_report(tmp_path, tmp_path, "en", [], forms)


@pytest.mark.parametrize(("form", "package"), [("pdf", "typst"), ("docx", "python-docx")])
def test_a_missing_package_is_named(tmp_path, monkeypatch, form, package):
    def find(name):
        return None if name in ("typst", "docx") else find_spec(name)

    monkeypatch.setattr("common.packages.find_spec", find)
    with pytest.raises(InputError, match=rf"needs the package {package}: pip install -r requirements-report\.txt"):
        write_report(tmp_path, tmp_path, "en", [], [form])
