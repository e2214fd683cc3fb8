"""Findings: figures that follow from the records of a run; the sections put them into words."""

from dataclasses import dataclass

from competition.report.findings.comparison import Comparison, compare_runs
from competition.report.findings.confidence import Confidence, find_confidence
from competition.report.findings.course import Course, find_course
from competition.report.findings.errors import Errors, find_errors
from competition.report.findings.experiments import (
    Folds,
    Frontier,
    Study,
    Trials,
    find_ablation,
    find_folds,
    find_frontier,
    find_trials,
)
from competition.report.run_record import Facts


@dataclass(frozen=True)
class Findings:
    """What the records of a run show; None where they are missing."""

    course: Course | None
    errors: Errors | None
    confidence: Confidence | None
    comparisons: list[Comparison]
    ablation: Study | None
    trials: Trials | None
    frontier: Frontier | None
    folds: Folds | None


def find(facts: Facts) -> Findings:
    """Return the findings of a run and of the runs to compare it with."""
    return Findings(
        course=find_course(facts),
        errors=find_errors(facts),
        confidence=find_confidence(facts),
        comparisons=compare_runs(facts),
        ablation=find_ablation(facts),
        trials=find_trials(facts),
        frontier=find_frontier(facts),
        folds=find_folds(facts),
    )
