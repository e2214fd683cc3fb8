"""One command from nothing to a proven submission: python quickstart.py

  python quickstart.py        install into .venv, then draw flowers, train, evaluate, predict, check, build the ZIP
  python quickstart.py test   install what the tests need as well, and run them (further words go to pytest)

Needs Python 3.10 to 3.14 and nothing else. Both can be repeated: what is done is not done again.
"""

# Only the standard library, and syntax that older Pythons parse, so that they get a sentence instead of a traceback.
import hashlib
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent
VENV = REPOSITORY / ".venv"
RESULTS = Path("results") / "quickstart"
TEST_IMAGES = Path("data") / "demo" / "test"
OLDEST, NEWEST = (3, 10), (3, 14)
CUDA_WHEELS = "https://download.pytorch.org/whl/cu128"


class Failure(Exception):
    """What went wrong, and the exit code."""

    def __init__(self, message, exit_code=1):
        super().__init__(message)
        self.exit_code = exit_code


def main(words):
    """Run the journey or the tests and return the exit code."""
    if words and words[0] in ("-h", "--help"):
        print(__doc__)
        return 0
    if words and words[0] != "test":
        raise Failure("{}: unknown. Type python quickstart.py, or python quickstart.py test.".format(words[0]), 2)
    check_python()
    if words:
        print("The tests, but for the slow ones, in the environment .venv.", flush=True)
        install("requirements-dev.txt")
        # what takes long, and what needs the whole machine, is marked slow; a process that is done takes tests from the
        # other one
        return run_python(["-m", "pytest", "-m", "not slow", "-n", "2", "--dist", "worksteal", *words[1:]])
    print("From nothing to a proven submission: an environment in .venv, then five steps on drawn flowers.", flush=True)
    install("requirements.txt")
    journey()
    return 0


def check_python():
    """Refuse a Python that the libraries do not support."""
    version = sys.version_info[:2]
    if not OLDEST <= version <= NEWEST:
        raise Failure(
            "Python {}.{} runs this, but 3.10 to 3.14 is needed. Install one from https://www.python.org/downloads "
            "and type its name in place of python.".format(*version),
            2,
        )


def venv_python():
    """Return the Python of the environment."""
    return VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def install(requirements):
    """Make .venv if there is none that works, and install; skipped where a finished install is on record."""
    wanted = fingerprint(requirements)
    marker = VENV / "installed_{}.txt".format(Path(requirements).stem)
    if marker.is_file() and marker.read_text(encoding="utf-8") == wanted and works(venv_python()):
        return
    if not works(venv_python()):
        say("Making the environment {}".format(VENV))
        shutil.rmtree(str(VENV), ignore_errors=True)
        if subprocess.call([sys.executable, "-m", "venv", str(VENV)]) != 0:
            raise Failure(
                "The environment could not be made. On Debian and Ubuntu: sudo apt install python3-venv, "
                "then the same command again."
            )
    offer_cuda()
    say("Installing {}: some hundred MB the first time; interrupted, it goes on where it stopped".format(requirements))
    # on a terminal pip's bars show that it works; in a log they are noise
    quiet = [] if sys.stdout.isatty() else ["--quiet"]
    command = ["-m", "pip", "install", "--disable-pip-version-check", *quiet, "-r", requirements]
    if run_python(command) != 0:
        raise Failure(
            "pip could not install {}; its message stands above. Type the same command again to go on. Where PyPI is "
            "slow or blocked, name a mirror first in the environment variable PIP_INDEX_URL.".format(requirements)
        )
    marker.write_text(wanted, encoding="utf-8")


def fingerprint(requirements):
    """Return what an install depends on: the requirements files and the Python."""
    digest = hashlib.sha256(platform.python_version().encode())
    for name in ("requirements.txt", requirements):
        digest.update((REPOSITORY / name).read_bytes())
    return digest.hexdigest()


def works(python):
    """Say whether this Python starts and has pip."""
    if not python.is_file():
        return False
    try:
        return subprocess.call([str(python), "-c", "import pip"], stderr=subprocess.DEVNULL) == 0
    except OSError:
        return False


def offer_cuda():
    """On Windows PyPI's torch is for CPUs only; say how to get the other one before it is installed."""
    if os.name == "nt" and shutil.which("nvidia-smi"):
        say(
            "This machine has an NVIDIA GPU, and PyPI's torch for Windows cannot use it.\n"
            "For the GPU, stop now (Ctrl-C), type\n"
            "  {} -m pip install torch torchvision --index-url {}\n"
            "and start again. https://pytorch.org/get-started/locally shows the line for your CUDA version.".format(
                venv_python(), CUDA_WHEELS
            )
        )


def steps():
    """Return the journey: (what for, the command, exit codes that let it go on, what it leaves)."""
    model, predictions = RESULTS / "checkpoints" / "best_model.pt", RESULTS / "predictions.csv"
    evaluation, submission = RESULTS / "evaluation", RESULTS / "submission.zip"
    training = ["train.py", "--config-name", "quickstart", "output_dir={}".format(RESULTS.as_posix())]
    if (REPOSITORY / RESULTS / "checkpoints" / "last.pt").is_file():
        training.append("training.resume=auto")
    predict = ["inference.py", "--checkpoint", model, "--input", TEST_IMAGES, "--tta", "--format", "official"]
    return [
        ("Draw 500 flowers and train on 320 of them", training, (0,), model),
        ("Evaluate", ["evaluate.py", "--checkpoint", model, "--output-dir", evaluation], (0,), evaluation),
        ("Predict the 100 test images", [*predict, "--output", predictions], (0,), predictions),
        (
            "Check the rules",
            ["check_competition.py", "--predictions", predictions, "--input", TEST_IMAGES],
            (0, 1),
            predictions,
        ),
        (
            "Build the ZIP, unpack it, run it as the judges would",
            ["prepare_submission.py", "--predictions", predictions, "--output", submission],
            (0,),
            submission,
        ),
    ]


def journey():
    """Do the steps that are not on record as done, then say where everything is."""
    record = REPOSITORY / RESULTS / "journey.json"
    done = finished_steps(record)
    everything = steps()
    for number, (purpose, command, accepted, output) in enumerate(everything, start=1):
        script, title = command[0], "Step {} of {}: {}".format(number, len(everything), purpose)
        if script in done and (REPOSITORY / output).exists():
            say("{}: already done (delete {} to do it again)".format(title, RESULTS))
            continue
        if script == "train.py":
            # a new model makes all that follows old
            done = []
        words = [str(word) for word in command]
        say("{}\n$ python {}".format(title, " ".join(words)))
        started = time.time()
        code = run_python(words)
        if code == 130:
            raise KeyboardInterrupt
        if code not in accepted:
            raise Failure("{} ended with exit code {}; python quickstart.py goes on from there.".format(script, code))
        print("({:.0f} s)".format(time.time() - started), flush=True)
        if code == 0:
            done = [name for name in done if name != script] + [script]
            unfinished = record.with_suffix(".part")
            unfinished.write_text(json.dumps(done), encoding="utf-8")
            unfinished.replace(record)
        else:
            print("A rule is broken here; on a CPU the latency is not the judges'. The journey goes on.", flush=True)
    say(ending())


def finished_steps(record):
    """Return the scripts on record as done; none where the record is missing or damaged."""
    try:
        done = json.loads(record.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return done if isinstance(done, list) else []


def ending():
    """Return the lines that say where everything is and what to type next."""
    activate = ".venv\\Scripts\\activate" if os.name == "nt" else "source .venv/bin/activate"
    return "\n".join(
        (
            "Done. In {}:".format(RESULTS),
            "  checkpoints/best_model.pt    the trained model",
            "  evaluation/                  accuracy with its uncertainty, tables, pictures",
            "  predictions.csv              predictions of the test images; predictions.json says how they were made",
            "  submission.zip               run as the judges would, from its root and from code/",
            "  submission_proof.json        the figures of that proof",
            "Next:",
            "  {}".format(activate),
            "  python quickstart.py test    run the tests",
            "  python cli/flower_cli.py prepare-data --source <your images> --output data/flower100",
            "  python train.py training=finetune model=convnext_base                             with a GPU",
            "  python train.py training=finetune model=efficientnet_lite0 model.input_size=160   with a CPU",
            "Proven: {}. README.md goes on with your own photographs.".format(RESULTS / "submission.zip"),
        )
    )


def run_python(words):
    """Run the environment's Python in the repository and return its exit code."""
    environment = dict(os.environ, PYTHONUTF8="1")
    # a Ctrl-C reaches the child too, which needs seconds to save its state: here it is only noted until then
    interrupts = []
    before = signal.signal(signal.SIGINT, lambda number, frame: interrupts.append(number))
    try:
        code = subprocess.Popen([str(venv_python()), *words], cwd=str(REPOSITORY), env=environment).wait()
    finally:
        signal.signal(signal.SIGINT, before)
    if interrupts:
        raise KeyboardInterrupt
    return code


def say(text):
    """Print at once, so that the lines of the steps come after it."""
    print("\n" + text, flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except Failure as failure:
        print("error: {}".format(failure), file=sys.stderr)
        sys.exit(failure.exit_code)
    except KeyboardInterrupt:
        print("interrupted: the same command goes on from here", file=sys.stderr)
        sys.exit(130)
