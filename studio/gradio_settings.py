"""What gradio reads from the environment when it is imported."""

import os
from pathlib import Path

from common.packages import require_package


def prepare_gradio(results: Path) -> None:
    """Let gradio keep its files below `results`, and send nothing. Raises InputError if it is not installed."""
    require_package("gradio", "The page needs the package gradio", "requirements-studio.txt")
    cache = (results / "cache").resolve()
    cache.mkdir(parents=True, exist_ok=True)
    os.environ.update(
        GRADIO_ANALYTICS_ENABLED="False",
        GRADIO_TEMP_DIR=str(cache),
        GRADIO_SHARE="False",
        HF_HUB_DISABLE_TELEMETRY="1",
    )
