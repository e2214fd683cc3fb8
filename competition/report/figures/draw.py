"""Draw every figure that the facts of a run allow."""

from collections.abc import Callable
from pathlib import Path

from matplotlib.figure import Figure

from common.errors import as_warning
from competition.report.document import Say
from competition.report.figures.comparisons import ablation_figure, pareto_figure, tune_figure
from competition.report.figures.confidence import correlations_figure, reliability_of_run, risk_coverage_figure
from competition.report.figures.curves import curves_of_run
from competition.report.figures.errors import confusions_figure, per_class_figure
from competition.report.figures.overview import overview_figure
from competition.report.figures.photographs import augmentation_figure, pairs_figure, predictions_figure
from competition.report.run_record import Facts
from evaluation.plots import save_figure

# a function returns None where the facts have nothing to draw
FIGURES: dict[str, Callable[[Facts, Say], Figure | None]] = {
    "overview": overview_figure,
    "curves": curves_of_run,
    "augmentation": augmentation_figure,
    "confusion_matrix": confusions_figure,
    "pairs": pairs_figure,
    "reliability": reliability_of_run,
    "risk_coverage": risk_coverage_figure,
    "ablation": ablation_figure,
    "pareto": pareto_figure,
    "tune": tune_figure,
    "predictions": predictions_figure,
    "per_class": per_class_figure,
    "correlations": correlations_figure,
}

# made for both columns of a page, the others for one
WIDE = ("overview", "pairs", "predictions")

# of pixels alone: a vector would only wrap them
PHOTOGRAPHS = ("augmentation", "pairs", "predictions")


def draw_figures(facts: Facts, folder: Path, language: str) -> tuple[dict[str, Path], list[str]]:
    """Draw all figures that the facts allow into `folder`; return their files by name, and notes on missing ones.

    A file is an SVG with a PNG of the same stem beside it, or a JPEG of photographs.
    """

    def say(english: str, chinese: str) -> str:
        return chinese if language == "zh" else english

    files, notes = {}, []
    for name, draw in FIGURES.items():
        with as_warning(f"The figure '{name}'", notes.append):
            figure = draw(facts, say)
            if figure is None:
                notes.append(f"No figure '{name}': {_WITHOUT[name]}.")
                continue
            suffixes = (".jpg",) if name in PHOTOGRAPHS else (".png", ".svg")
            for suffix in suffixes:
                save_figure(figure, folder / f"{name}{suffix}")
            files[name] = folder / f"{name}{suffixes[-1]}"
    return files, notes


_NOT_EVALUATED = "evaluate.py has not measured this run"

_NO_PHOTOGRAPHS = "there are no answers to show, or their photographs are gone"

_WITHOUT = {
    "overview": "timm does not describe the network",
    "curves": "history.csv is missing or empty",
    "augmentation": "the training images are gone, or nothing was trained",
    "confusion_matrix": _NOT_EVALUATED,
    "pairs": f"nothing is confused, {_NO_PHOTOGRAPHS}",
    "reliability": _NOT_EVALUATED,
    "risk_coverage": _NOT_EVALUATED,
    "ablation": "no ablation of this run was made (flower_cli.py ablate)",
    "pareto": "no latency budget of this run was measured (flower_cli.py budget)",
    "tune": "no search of this run was made (flower_cli.py tune)",
    "predictions": f"{_NO_PHOTOGRAPHS}, or the network gives no heat map",
    "per_class": _NOT_EVALUATED,
    "correlations": _NOT_EVALUATED,
}
