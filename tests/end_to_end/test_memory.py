"""A folder streams through prediction: what it takes does not grow with the number of images."""

import json
import shutil
import sys

import pytest

from data.flower_drawing import draw_jpegs
from tests.helpers import REPOSITORY, run_words

pytestmark = pytest.mark.integration

# runs the script in this process, then writes the most memory that it ever held, kilobytes on Linux
MEASURE = """
import json, resource, runpy, sys
path, script = sys.argv.pop(1), sys.argv.pop(1)
try:
    runpy.run_path(script, run_name="__main__")
except SystemExit as end:
    code = end.code
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
open(path, "w", encoding="utf-8").write(json.dumps({"code": code, "peak": peak}))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak memory as Linux reports it")
def test_memory_does_not_grow_with_the_folder(checkpoint, tmp_path):
    drawn = draw_jpegs(tmp_path, 300, 50)
    peaks = []
    for copies in (4, 40):
        folder = tmp_path / f"{copies}"
        folder.mkdir()
        for number in range(copies):
            for path in drawn:
                shutil.copyfile(path, folder / f"{number}_{path.name}")
        report = tmp_path / f"{copies}.json"
        words = [sys.executable, "-c", MEASURE, str(report), str(REPOSITORY / "inference.py"), "--checkpoint"]
        words += [str(checkpoint), "--input", str(folder), "--output", str(tmp_path / f"{copies}.csv")]
        done = run_words([*words, "dataset.num_workers=0"])
        assert done.returncode == 0, done.stderr
        facts = json.loads(report.read_text(encoding="utf-8"))
        assert facts["code"] in (0, None)
        assert len((tmp_path / f"{copies}.csv").read_text(encoding="utf-8").splitlines()) == 50 * copies + 1
        peaks.append(facts["peak"])
    assert peaks[1] < 1.1 * peaks[0]
