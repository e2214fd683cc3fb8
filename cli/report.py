"""flower_cli.py report: the technical report of a run, from what it recorded."""

import argparse
from pathlib import Path

from cli.early_checks import early
from cli.entry import names_in

HELP = "write the technical report of a run: HTML, PDF of at most 10 pages, Word, in English or Chinese"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument(
        "--run",
        type=Path,
        action="append",
        metavar="DIR",
        help="folder of the run (default: results); further ones, each with its own --run, are compared with the first",
    )
    parser.add_argument("--output", type=Path, default=Path("report"), help="folder to write (default: %(default)s)")
    parser.add_argument("--language", choices=("en", "zh"), default="en", help="default: %(default)s")
    parser.add_argument(
        "--format",
        default="html,pdf",
        metavar="A,B",
        help="forms to write, of html, pdf (with its source report.typ) and docx (default: %(default)s)",
    )
    parser.add_argument("--title", default="", help="title in place of the usual one")
    parser.add_argument("--team", default="", metavar="NAME", help="name of the team, below the title")
    parser.add_argument("--drop", default="", metavar="A,B", help="sections to leave out, where 10 pages are too few")
    parser.add_argument("--compile", type=Path, metavar="TYP", help="only compile a report.typ that you have edited")


def run(arguments: argparse.Namespace, overrides: list[str]) -> int:
    """Write the report and print its paths."""
    from common.errors import InputError
    from common.files import check_writable
    from competition.report.request import check_request
    from competition.report.typst_report import compile_pdf

    if overrides:
        raise InputError(f"{overrides[0]}: report takes no keys; it tells what was recorded.")
    if arguments.compile:
        output = arguments.compile.with_suffix(".pdf")
        check_writable(output, [arguments.compile])
        if not arguments.compile.is_file():
            raise InputError(f"{arguments.compile}: no such file.")
        print(f"{output}: {compile_pdf(arguments.compile, output)} pages")
        return 0
    first, *others = arguments.run or [Path("results")]
    dropped, forms = names_in(arguments.drop), names_in(arguments.format)
    early(check_request)(first, arguments.output, arguments.language, dropped, forms, others)

    from competition.report.write import write_report

    names = arguments.title, arguments.team
    report = write_report(first, arguments.output, arguments.language, dropped, forms, others, *names)
    for note in report.notes:
        print(f"note: {note}")
    for path in (report.html, report.docx):
        if path:
            print(path)
    if report.pdf:
        print(f"{report.pdf} ({report.pages} pages); to edit: {report.pdf.with_suffix('.typ')}")
    return 0
