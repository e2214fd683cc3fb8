"""Runs a script of the kit for another process, and ends soon after that process does: python -m autopilot.child."""

import os
import runpy
import signal
import sys
import threading
import time
from contextlib import nullcontext
from pathlib import Path

from filelock import FileLock

# environment variable: the file that is locked while the script runs
LOCK = "FLOWER_KIT_CHILD_LOCK"

# a training run saves its state within this time of a signal
SECONDS_TO_SAVE = 60


def main() -> None:
    """Run the script that the first argument names, with the others as its own."""
    script = Path(sys.argv[1])
    # processes that the script starts must not wait for this pipe
    pipe = os.dup(0)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    threading.Thread(target=_end_with_parent, args=(pipe,), daemon=True).start()
    lock = FileLock(os.environ[LOCK]) if LOCK in os.environ else nullcontext()
    sys.argv = [str(script), *sys.argv[2:]]
    sys.path.insert(0, str(script.parent))
    with lock:
        runpy.run_path(str(script), run_name="__main__")


def _end_with_parent(pipe: int) -> None:
    """Wait until the parent, who holds the other end of the pipe, is gone; then end, however it went."""
    # not through a file object, whose lock this thread would hold while the interpreter shuts down
    while os.read(pipe, 1):
        pass
    # nobody reads any more, and a broken pipe must not keep the script from saving
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    if os.name == "nt":
        # os.kill would end the process at once
        signal.raise_signal(signal.SIGTERM)
    else:
        # to the process, so that it wakes the main thread, which may wait
        os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(SECONDS_TO_SAVE)
    os._exit(1)


if __name__ == "__main__":
    main()
