"""A page without a browser: the context that its tabs get."""

import pytest

from studio.context import Studio, open_studio


@pytest.fixture
def studio(checkpoint, pictures, tmp_path) -> Studio:
    """The context of an English page on the tiny model and its pictures."""
    return open_studio(checkpoint, pictures, "en", tmp_path / "studio", ["device=cpu"])
