"""The figures of a report, drawn from the facts of a run, each as a vector and as pixels."""

from competition.report.figures.draw import WIDE, draw_figures

__all__ = ["WIDE", "draw_figures"]
