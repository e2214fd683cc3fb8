"""The report: from what a run recorded, whole in both languages, at most 10 pages, and nothing invented."""

# a None where a value should be fails the test like any other fault
# pyright: reportOptionalMemberAccess=false, reportOptionalSubscript=false, reportOptionalOperand=false

import dataclasses
import re
import shlex
import shutil

import pytest
from matplotlib import font_manager

from common.errors import InputError, RunError
from competition.report.document import Code, Document, Heading, Paragraph
from competition.report.findings import find
from competition.report.html_report import to_html
from competition.report.innovation import innovation_template, is_written
from competition.report.run_record import read_facts, train_command
from competition.report.sections import build_document, closing
from competition.report.sections.material import Material
from competition.report.typst_report import LATIN_FONT, compile_pdf, fonts_for, to_typst
from competition.report.write import write_report
from competition.report.writer import Writer
from configs.compose import compose
from evaluation import fonts
from evaluation.evaluate import evaluate
from prediction.pipeline import load_pipeline
from tests.helpers import run_script


@pytest.fixture(scope="module")
def run(checkpoint, tmp_path_factory):
    """A trained and evaluated run, without proof, ablation or budget."""
    root = tmp_path_factory.mktemp("report") / "run 运行"
    shutil.copytree(checkpoint.parents[1], root)
    evaluate(load_pipeline([root / "checkpoints" / "best_model.pt"]), output_dir=root / "evaluation")
    return root


@pytest.fixture(scope="module")
def report(run, tmp_path_factory):
    return write_report(run, tmp_path_factory.mktemp("written"), "en", [])


@pytest.mark.integration
def test_the_html_needs_no_other_file_and_says_what_was_measured(report, run):
    page = report.html.read_text(encoding="utf-8")
    assert not re.search(r'src="(?!data:)|<(script|link)[^>]+(src|href)', page)
    metrics = read_facts(run).metrics
    assert f"{100 * metrics['top1']:.2f}%" in page
    # no ZIP was proven and no ablation ran: the one is said, the other left out
    assert "The latency was not measured: no ZIP was proven" in page
    assert "<h3>Ablation" not in page


@pytest.mark.integration
def test_the_pdf_has_at_most_ten_pages(report):
    assert report.pdf.read_bytes().startswith(b"%PDF")
    assert 2 <= report.pages <= 10


def test_too_many_pages_name_the_longest_section_and_leave_no_pdf(tmp_path):
    blocks = [Heading("Short", "short"), Paragraph("a"), Heading("Long", "long"), *[Paragraph("word " * 300)] * 80]
    (tmp_path / "report.typ").write_text(
        to_typst(Document("T", "S", "en", blocks), [LATIN_FONT], tmp_path), encoding="utf-8"
    )
    with pytest.raises(RunError, match=r"more than the 10 .* report --drop long\. The longest: long \(\d+\.\d pages\)"):
        compile_pdf(tmp_path / "report.typ", tmp_path / "report.pdf")
    assert not (tmp_path / "report.pdf").exists()


def test_text_is_shown_as_it_is_in_both_forms(tmp_path):
    nasty = (
        'a "quote" <b> \\ # * _ $ @ 花 & [x] // no comment'
        + "\n\t\r\x1b\x01\u202e 🌹 ورد `x` | \\u{41} */ "
        + "x" * 300
    )
    document = Document(nasty, nasty, "en", [Heading(nasty, "x"), Paragraph(nasty)])
    (tmp_path / "report.typ").write_text(to_typst(document, [LATIN_FONT], tmp_path), encoding="utf-8")
    assert compile_pdf(tmp_path / "report.typ", tmp_path / "report.pdf") == 1
    assert "a &quot;quote&quot; &lt;b&gt;" in to_html(document)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_empty_template_says_that_it_is_empty(language):
    assert not is_written(innovation_template(language))


@pytest.mark.integration
def test_chinese_needs_a_font_and_says_which(run, tmp_path, monkeypatch):
    import typst

    class NoFonts:
        def __init__(self, **options):
            pass

        def families(self):
            return ["DejaVu Sans"]

    monkeypatch.setattr(typst, "Fonts", NoFonts)
    assert fonts_for("en") == [LATIN_FONT]
    with pytest.raises(InputError, match=r"No Chinese font is installed.*fonts-noto-cjk"):
        write_report(run, tmp_path, "zh", [])


@pytest.mark.integration
def test_the_chinese_report_is_chinese(run, tmp_path):
    try:
        fonts_for("zh")
    except InputError as error:
        pytest.skip(str(error))
    written = write_report(run, tmp_path, "zh", [])
    page = written.html.read_text(encoding="utf-8")
    assert '<html lang="zh">' in page
    assert re.search(r'<h2 id="results">\d 实验结果</h2>', page)
    assert "Not measured" not in page
    assert written.pages <= 10


def test_the_command_that_it_prints_trains_the_same_config(tiny):
    config = tiny("training.ema_decay=0.9", "training.early_stopping.patience=7", "training.use_amp=false")
    words = shlex.split(train_command(config))[2:]
    again = compose("config", [*words, f"output_dir={config.output_dir}"])
    assert again == config


@pytest.mark.integration
def test_the_commands_that_it_prints_lead_from_training_to_the_zip(run):
    document = build_document(read_facts(run), {}, "", "en", [])
    (code,) = [block for block in document.blocks if isinstance(block, Code)]
    scripts = [shlex.split(line)[1] for line in code.text.splitlines()]
    assert scripts == ["train.py", "evaluate.py", "inference.py", "prepare_submission.py"]


@pytest.mark.integration
def test_the_commands_measure_and_predict_as_the_records_say(run):
    facts = read_facts(run)
    metrics = {**(facts.metrics or {}), "images_from": "my data/test.csv", "views": ["identity", "hflip"]}
    recipe = {"checkpoints": [{"path": f"/x/{name}/checkpoints/best_model.pt"} for name in "ab"], "views": ["identity"]}
    document = build_document(dataclasses.replace(facts, metrics=metrics, recipe=None), {}, "", "en", [])
    (code,) = [block for block in document.blocks if isinstance(block, Code)]
    assert code.text.splitlines()[1].endswith("best_model.pt --data 'my data/test.csv' --tta identity,hflip")
    sections = closing.reproduce(Material(dataclasses.replace(facts, recipe=recipe), find(facts), {}, Writer("en", {})))
    assert isinstance(sections[-1], Code)
    predicts = sections[-1].text.splitlines()[2]
    assert predicts.endswith("--checkpoint a/checkpoints/best_model.pt b/checkpoints/best_model.pt")


def test_a_folder_without_a_run_is_bad_input(tmp_path):
    done = run_script("cli/flower_cli.py", "report", "--run", tmp_path, "--output", tmp_path / "out")
    assert done.returncode == 2
    assert "no trained run here" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.integration
def test_bad_flags_are_named(run, tmp_path):
    done = run_script("cli/flower_cli.py", "report", "--run", run, "--output", tmp_path, "--drop", "calibraton")
    assert done.returncode == 2
    assert "calibration" in done.stderr
    done = run_script("cli/flower_cli.py", "report", "--run", run, "seed=1")
    assert done.returncode == 2
    assert "takes no keys" in done.stderr


def test_a_font_installed_after_matplotlib_listed_the_fonts_is_found(monkeypatch, tmp_path):
    listed = font_manager.fontManager.ttflist
    new = shutil.copy(font_manager.findfont("DejaVu Sans"), tmp_path / "new.ttf")
    monkeypatch.setattr(font_manager.fontManager, "ttflist", [font for font in listed if "CJK" not in font.name])
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda: [str(new), str(tmp_path / "gone.ttf")])
    fonts._find_new_fonts.cache_clear()
    fonts.use_fonts()
    assert str(new) in {font.fname for font in font_manager.fontManager.ttflist}
    fonts._find_new_fonts.cache_clear()


@pytest.mark.integration
def test_a_run_without_an_evaluation_is_told_how_to_get_one(run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "evaluation")
    notes = write_report(tmp_path / "run", tmp_path / "report", "en", []).notes
    assert any(note.endswith(f"--output-dir {tmp_path / 'run' / 'evaluation'}") for note in notes)


@pytest.mark.integration
def test_the_teams_text_is_kept_and_title_team_other_runs_and_what_is_dropped_are_flags(run, tmp_path):
    shutil.copytree(run, tmp_path / "other")
    text = tmp_path / "out" / "innovation.txt"
    text.parent.mkdir()
    text.write_text("# Our idea\n\nWe froze\nthe stem.\n\n% a hint\n", encoding="utf-8")
    words = ["--run", run, "--run", tmp_path / "other", "--title", "Our <flowers>", "--team", "The 花 team"]
    words += ["--drop", "calibration"]
    done = run_script("cli/flower_cli.py", "report", *words, "--output", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "<h1>Our &lt;flowers&gt;</h1>" in page
    assert "The 花 team" in page
    # the curves are those of both runs
    assert "'curves'" not in done.stdout + done.stderr
    assert re.search(r"<h3>\d\.\d Our idea</h3>", page)
    assert "<p>We froze the stem.</p>" in page
    assert "a hint" not in page
    assert 'id="calibration"' not in page
    assert text.read_text(encoding="utf-8").startswith("# Our idea")
    assert "this run differs from “other” by 0.00 percentage points" in page
