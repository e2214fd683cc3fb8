"""train.py, killed by SIGKILL at a given moment: python killed_training.py MOMENT NUMBER <arguments of train.py>.

The moments: `step`, `validation`, `write` (half of last.pt is written) and `rename` (last.pt has just been moved to
previous.pt) are the NUMBER-th such event; `seconds` is NUMBER seconds after the first step began.
"""

import io
import os
import signal
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch

import train
import training.trainer
import training.validation


def die() -> None:
    """End this process as a power cut would."""
    os.kill(os.getpid(), signal.SIGKILL)


def kill_at_call(module: object, name: str, number: int, action=die) -> None:
    """Replace a function by one that calls `action` instead at its `number`-th call."""
    original, calls = getattr(module, name), 0

    def counted(*arguments, **options):
        nonlocal calls
        calls += 1
        if calls == number:
            return action(*arguments) if arguments and action is not die else die()
        return original(*arguments, **options)

    setattr(module, name, counted)


def half_a_file(payload: dict, path: Path) -> None:
    """Write the first half of what torch.save would write, and die."""
    buffer = io.BytesIO()
    torch.serialization.save(payload, buffer)
    path.write_bytes(buffer.getvalue()[: buffer.tell() // 2])
    die()


def kill_between_renames(number: int) -> None:
    """Die after last.pt has become previous.pt, before the new last.pt is in its place."""
    original, moves = Path.replace, 0

    def replace(path: Path, target: Path) -> Path:
        nonlocal moves
        result = original(path, target)
        moves += Path(target).name == "previous.pt"
        if moves == number:
            die()
        return result

    setattr(Path, "replace", replace)  # noqa: B010


def kill_after(seconds: float) -> None:
    """Die `seconds` after the first optimizer step began."""
    original, started = training.trainer.take_step, []

    def take_step(*arguments):
        if not started:
            started.append(True)
            threading.Thread(target=lambda: (time.sleep(seconds), die()), daemon=True).start()
        return original(*arguments)

    training.trainer.take_step = take_step


def main(moment: str, number: str, *arguments: str) -> int:
    """Arm the kill and train."""
    torch.set_num_threads(1)
    if moment == "step":
        kill_at_call(training.trainer, "take_step", int(number))
    elif moment == "validation":
        kill_at_call(training.validation, "compute_logits", int(number))
    elif moment == "write":
        kill_at_call(torch, "save", int(number), half_a_file)
    elif moment == "rename":
        kill_between_renames(int(number))
    elif moment == "seconds":
        kill_after(float(number))
    return train.main(list(arguments))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
