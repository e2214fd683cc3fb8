"""The flags that say which checkpoints predict, and how: their parser and what they mean."""

import argparse

from prediction.pipeline import PredictionOptions
from prediction.runtimes import RUNTIMES
from prediction.views import AVERAGES, parse_views


def read_prediction_options(flags: argparse.Namespace) -> PredictionOptions:
    """Return what the flags of `cli.entry.add_pipeline_flags` say."""
    average, runtime = flags.average or AVERAGES[0], flags.runtime or RUNTIMES[0]
    return PredictionOptions(parse_views(flags.tta), average, flags.weights, flags.precision, runtime)
