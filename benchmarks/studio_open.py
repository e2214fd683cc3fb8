"""Seconds until the page of `flower_cli.py studio` answers, shows photographs, and takes decisions, for a large set.

python benchmarks/studio_open.py --images 20000

The set is synthetic: small JPEG files, 100 of each class, each file linked under many names, in a temporary folder. The
seconds are those from the command on: to the first answer to a request, to the page's tabs in Chromium, to the
first page of photographs in the tab Data. The last line is how long a decision by key takes in the tab Doubtful labels
until the next photograph is shown, which is what the page adds to a person's own time. "again" are further commands,
whose thumbnails are cached. Chromium is started before the command, with an empty profile. "CPU" are the processor
seconds of the command until then, the fewest of all commands, which a busy machine changes less. Needs Linux,
requirements-dev.txt, chromium and chromedriver.
"""

import argparse
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
IMAGES_PER_CLASS, FILES, SIDE = 100, 200, 256
SECONDS = 300
DECISIONS = 10
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run")
PARTS = ("first answer", "tabs", "photographs")


def main() -> None:
    """Write the set, open the page several times, and print a line for each part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=20_000, help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=3, help="further commands (default: %(default)s)")
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        write_set(folder / "set", flags.images)
        write_doubts(folder, flags.images)
        decisions: list[float] = []
        first = seconds_to_open(folder, decisions)
        again = [seconds_to_open(folder, decisions) for _ in range(flags.rounds)]
    print(f"{flags.images} images; seconds from the command on")
    print(f"{'part':<16}{'CPU':>8}{'first':>8}{'again':>8}  {'(fastest to slowest)'}")
    for place, part in enumerate(PARTS):
        cpu = min(found[place][1] for found in (first, *again))
        later = sorted(found[place][0] for found in again)
        ends = f"({later[0]:.1f} to {later[-1]:.1f})"
        print(f"{part:<16}{cpu:>8.1f}{first[place][0]:>8.1f}{statistics.median(later):>8.1f}  {ends}")
    middle, slowest = statistics.median(decisions), max(decisions)
    print(f"a decision by key: {middle:.2f} s (median of {len(decisions)}), at most {slowest:.2f} s")


def write_set(folder: Path, images: int) -> None:
    """Write train.csv, classes.csv and train/, whose names are links to `FILES` drawn photographs."""
    sys.path.insert(0, str(REPOSITORY))
    from common.classes import ImageClass
    from data.flower_drawing import draw_jpegs
    from data.table import write_classes, write_table

    (folder / "train").mkdir(parents=True)
    (folder / "drawn").mkdir()
    drawn = draw_jpegs(folder / "drawn", SIDE, FILES)
    names = [photograph(row) for row in range(images)]
    for row, image in enumerate(names):
        os.link(drawn[row % FILES], folder / "train" / image)
    classes = class_count(images)
    write_table(folder / "train.csv", names, [row % classes for row in range(images)])
    write_classes(folder / "classes.csv", [ImageClass(k, str(k), f"flower {k}") for k in range(classes)])


def photograph(row: int) -> str:
    """Return the name of an image of the set."""
    return f"photograph_{row:06d}.jpg"


def class_count(images: int) -> int:
    """Return how many classes a set of so many images has."""
    return max(images // IMAGES_PER_CLASS, 2)


def write_doubts(folder: Path, images: int) -> None:
    """Write the list of an audit that doubts the first labels of the set."""
    from common.csv_files import write_rows
    from tools.label_errors import LABEL_ERROR_COLUMNS, SURE_OF_ANOTHER

    rows, classes = [], class_count(images)
    for row in range(min(images, 100)):
        label, other = row % classes, (row + 1) % classes
        names = f"flower {label}", f"flower {other}"
        rows.append((photograph(row), label, names[0], other, names[1], "0.05", "0.9", SURE_OF_ANOTHER))
    write_rows(folder / "results" / "audit" / "label_errors.csv", LABEL_ERROR_COLUMNS, rows)


def seconds_to_open(folder: Path, decisions: list[float]) -> list[tuple[float, float]]:
    """Serve the page from `folder` and return the seconds from the command to each of `PARTS`, and those of its CPU.

    Appends the seconds of some decisions.
    """
    from selenium.webdriver.common.action_chains import ActionChains

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    script, address = str(REPOSITORY / "cli" / "flower_cli.py"), f"http://127.0.0.1:{port}/"
    words = [sys.executable, script, "studio", "--data", str(folder / "set"), "--port", str(port), "--no-browser"]
    with browser(folder) as driver, (folder / "server.txt").open("w+", encoding="utf-8") as log:
        started = time.perf_counter()
        process = subprocess.Popen(words, cwd=folder, stdout=log, stderr=subprocess.STDOUT)

        def wait_until(seen: Callable[[], object]) -> tuple[float, float]:
            while not seen():
                if process.poll() is not None or time.perf_counter() - started > SECONDS:
                    raise SystemExit((folder / "server.txt").read_text(encoding="utf-8"))
                time.sleep(0.02)
            return time.perf_counter() - started, cpu_seconds(process.pid)

        try:
            answered = wait_until(lambda: answers(address))
            driver.get(address)
            tabs = wait_until(lambda: driver.find_elements("css selector", "button[role=tab]"))
            driver.find_elements("css selector", "button[role=tab]")[1].click()
            photographs = wait_until(lambda: driver.find_elements("css selector", "#photographs img"))
            driver.find_elements("css selector", "button[role=tab]")[2].click()
            wait_until(lambda: driver.find_elements("css selector", "#doubtful img"))
            for _ in range(DECISIONS):
                before, pressed = shown(driver), time.perf_counter()
                ActionChains(driver).send_keys("1").perform()
                wait_until(lambda before=before: shown(driver) != before)
                decisions.append(time.perf_counter() - pressed)
            return [answered, tabs, photographs]
        finally:
            process.terminate()
            process.wait()


@contextmanager
def browser(folder: Path) -> Iterator[Any]:
    """Yield a running Chromium with an empty profile."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    with tempfile.TemporaryDirectory(dir=folder, ignore_cleanup_errors=True) as profile:
        for flag in (*FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
        try:
            yield driver
        finally:
            driver.quit()


def shown(driver: Any) -> str:
    """Return the name of the doubted photograph."""
    return driver.find_element("css selector", "#doubtful-shown textarea, #doubtful-shown input").get_property("value")


def cpu_seconds(process: int) -> float:
    """Return the processor seconds of a process and all its threads."""
    fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def answers(address: str) -> bool:
    """Say whether the page answers a request."""
    try:
        with urllib.request.urlopen(address, timeout=SECONDS) as answer:
            return answer.status == 200
    except urllib.error.URLError:
        return False


if __name__ == "__main__":
    main()
