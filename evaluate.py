"""Evaluate a checkpoint, or several averaged, on labelled images: metrics with intervals, tables, pictures."""

import argparse
from dataclasses import asdict
from pathlib import Path

from cli.early_checks import check_file, check_folder, check_labels, check_pipeline
from cli.entry import ArgumentParser, file_path, run_script, show, split_overrides
from cli.pipeline_flags import add_pipeline_flags, read_prediction_options
from common.errors import InputError
from prediction.options import LABELLED_KEYS, LIMIT_KEYS, SPLITS

# what a search of views has found, for the report
VIEW_SEARCH = "view_search.json"


def main(arguments: list[str]) -> int:
    """Evaluate and print the figures and where the files are."""
    words, overrides = split_overrides(arguments)
    flags = build_parser().parse_args(words)
    if flags.data and flags.split:
        raise InputError("--split chooses among the checkpoint's own images; --data names others. Give one of them.")
    if flags.keep and not flags.input_sizes:
        raise InputError("--keep: writes the best of --input-sizes. Give both.")
    searches, split = flags.tta == "search", flags.split
    if searches and flags.input_sizes:
        raise InputError("--tta search and --input-sizes are two comparisons. Give one of them.")
    flags.tta = None if searches else flags.tta
    keys = (*LABELLED_KEYS, *LIMIT_KEYS) if searches else LABELLED_KEYS
    writes = not flags.input_sizes
    _check(flags, overrides, keys, writes)

    from cli.comparison_text import describe_sizes, describe_view_search
    from cli.evaluate_text import describe_evaluation
    from common.distributed import processes
    from common.files import check_writable, check_writable_folder, to_json, write_text
    from evaluation.evaluate import evaluate
    from prediction.pipeline import load_pipeline
    from prediction.provenance import describe_pipeline
    from tools.input_size import compare_sizes
    from tools.tta_search import search_views

    if flags.keep:
        check_writable(flags.keep, flags.checkpoint, ".pt")
    elif writes:
        check_writable_folder(flags.output_dir)
    with processes():
        pipeline = load_pipeline(flags.checkpoint, read_prediction_options(flags), overrides, keys)
        if searches:
            found = search_views(pipeline, split, flags.data)
            facts = {"checkpoints": describe_pipeline(pipeline)["checkpoints"], **asdict(found)}
            write_text(flags.output_dir / VIEW_SEARCH, to_json(facts))
            lines = describe_view_search(found, pipeline.config.competition)
        elif flags.input_sizes:
            sizes = compare_sizes(pipeline, flags.input_sizes, split, flags.data, flags.keep)
            lines = [*describe_sizes(sizes), *([f"Wrote {flags.keep} for {sizes.best} px"] if flags.keep else [])]
        else:
            evaluation = evaluate(pipeline, split, flags.data, flags.output_dir)
            lines = [*describe_evaluation(evaluation), f"Tables and pictures: {flags.output_dir}"]
        show(lines)
    return 0


def _check(flags: argparse.Namespace, overrides: list[str], keys: tuple[str, ...], writes: bool) -> None:
    """Raise InputError for what can be known before torch is imported."""
    if flags.keep:
        check_file(flags.keep, flags.checkpoint, ".pt")
    elif writes:
        check_folder(flags.output_dir)
    check_pipeline(flags, overrides, keys)
    check_labels(flags.data)


def _sizes(text: str) -> list[int]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() and 16 <= int(part) <= 4096 for part in parts):
        raise argparse.ArgumentTypeError(f"{text}: expected sizes from 16 to 4096 pixels, as in 224,256")
    return [int(part) for part in parts]


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of what stands beside the overrides."""
    parser = ArgumentParser(
        prog="evaluate.py",
        usage="python evaluate.py --checkpoint P [P ...] [--split S | --data DIR_OR_CSV] [--tta [VIEWS]] "
        "[--output-dir D] [options] [key=value ...]",
        description=f"{__doc__} --tta search finds the views that help within the latency limit. "
        "Keys: device, dataset.root, dataset.train_csv, dataset.train_dir, dataset.val_csv, dataset.batch_size, "
        "dataset.num_workers; "
        "with --tta search competition.max_latency_ms and competition.input_size too.",
        allow_abbrev=False,
    )
    add_pipeline_flags(parser)
    parser.add_argument("--split", choices=SPLITS, help="images of the checkpoint's own data set (default: val)")
    parser.add_argument("--data", type=Path, help="other labelled images: a prepared folder, or a table image_id,label")
    parser.add_argument(
        "--input-sizes", type=_sizes, metavar="A,B", help="compare top-1 at these input sizes instead, as in 224,256"
    )
    parser.add_argument(
        "--keep", type=file_path, metavar="F", help="with --input-sizes: write the best as a checkpoint"
    )
    parser.add_argument("--output-dir", type=Path, default=Path("results/evaluation"), help="default: %(default)s")
    return parser


if __name__ == "__main__":
    run_script(main)
