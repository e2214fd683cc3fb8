"""Exports that several tests read."""

from functools import cache

import pytest

from tools.export import export
from tools.export_options import SUFFIX_OF


@pytest.fixture(scope="session")
def exported(checkpoint, tmp_path_factory):
    """Return a function of runtime and precision that exports `checkpoint` once, and returns file and figures."""

    @cache
    def exported_once(runtime: str, precision: str):
        output = tmp_path_factory.mktemp("exports") / "出 口" / f"model{SUFFIX_OF[runtime]}"
        # ten images of a tiny model say little of what int8 costs
        return output, export(checkpoint, runtime, precision, output, tolerance=0.3 if precision == "int8" else None)

    return exported_once
