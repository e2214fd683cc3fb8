"""A page without a browser: the context that its tabs get; and runs for the tab that compares them."""

from pathlib import Path

import pytest

from configs.compose import compose
from studio.context import Studio, open_studio
from tests.conftest import TINY


@pytest.fixture
def studio(checkpoint, pictures, tmp_path) -> Studio:
    """The context of an English page on the tiny model and its pictures."""
    return open_studio(checkpoint, pictures, "en", tmp_path / "studio", ["device=cpu"])


def evaluated_runs(root: Path, pictures: Path, names: tuple[str, str]) -> None:
    """Train two tiny runs into `root`, which differ in their learning rate, and evaluate each."""
    from evaluation.evaluate import evaluate
    from prediction.options import DEFAULTS
    from prediction.pipeline import load_pipeline
    from training.train import train

    for name, rate in zip(names, ("0.01", "0.02"), strict=True):
        words = [*TINY, f"training.learning_rate={rate}", f"dataset.root={pictures}", f"output_dir={root / name}"]
        train(compose("config", words))
        best = root / name / "checkpoints" / "best_model.pt"
        evaluate(load_pipeline(best, DEFAULTS, ["device=cpu"]), output_dir=root / name / "evaluation")
