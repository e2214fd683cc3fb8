"""One command from nothing to a proven submission: python quickstart.py

  python quickstart.py        install into .venv, then draw flowers, train, evaluate, predict, check, build the ZIP
  python quickstart.py test   install what the tests need as well, and run them (further words go to pytest)

  --cpu    install torch for CPUs only, which is the smaller download (default without an NVIDIA GPU)
  --cuda   install torch for NVIDIA GPUs (default with one)

Needs Python 3.10 to 3.14 and nothing else. Both can be repeated: what is done is not done again.
"""

# Only the standard library, and syntax that older Pythons parse, so that they get a sentence instead of a traceback.
import hashlib
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from http.client import HTTPException
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent
VENV = REPOSITORY / ".venv"
RESULTS = Path("results") / "quickstart"
TEST_IMAGES = Path("data") / "demo" / "test"
OLDEST, NEWEST = (3, 10), (3, 14)

# PyPI's torch is for CUDA on Linux and for CPUs elsewhere; where the other one is, by system and build
INDEXES = {
    ("Linux", "cpu"): "https://download.pytorch.org/whl/cpu",
    ("Windows", "cuda"): "https://download.pytorch.org/whl/cu128",
}
BUILDS = {"cpu": "for CPUs", "cuda": "for NVIDIA GPUs (CUDA)"}
GIGABYTES = {"cpu": 0.2, "cuda": 3.0, "requirements.txt": 0.2, "requirements-dev.txt": 0.5}
# else a newer torch, of the other build, from another index of the user's settings would be taken
ONLY_INDEX = {"PIP_CONFIG_FILE": os.devnull, "PIP_EXTRA_INDEX_URL": "", "PIP_FIND_LINKS": ""}
SECONDS_TO_ANSWER = 5

# on two cores of a Xeon
TYPICAL_SECONDS = {
    "train.py": 111,
    "evaluate.py": 10,
    "inference.py": 11,
    "check_competition.py": 13,
    "prepare_submission.py": 28,
}


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
    build, words = read_build(words)
    if words and words[0] != "test":
        raise Failure("{}: unknown. Type python quickstart.py, or python quickstart.py test.".format(words[0]), 2)
    check_python()
    if words:
        print("The tests, but for the slow ones, in the environment .venv.", flush=True)
        install("requirements-dev.txt", build)
        # what takes long, and what needs the whole machine, is marked slow; a process that is done takes tests from the
        # other one
        return run_python(["-m", "pytest", "-m", "not slow", "-n", "2", "--dist", "worksteal", *words[1:]])
    print("From nothing to a proven submission: an environment in .venv, then five steps on drawn flowers.", flush=True)
    install("requirements.txt", build)
    journey()
    return 0


def read_build(words):
    """Return the build of torch that a flag asks for ("cpu", "cuda" or None), and the other words."""
    asked = sorted({word[2:] for word in words if word in ("--cpu", "--cuda")})
    if len(asked) == 2:
        raise Failure("--cpu and --cuda are two builds of torch. Give one of them.", 2)
    if asked == ["cuda"] and platform.system() == "Darwin":
        raise Failure("--cuda: macOS has no CUDA. Leave it out; torch uses Apple's GPU by itself.", 2)
    return (asked[0] if asked else None), [word for word in words if word not in ("--cpu", "--cuda")]


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


def install(requirements, build):
    """Make .venv if there is none that works, and install; skipped where a finished install is on record."""
    wanted = fingerprint(requirements)
    marker = VENV / "installed_{}.txt".format(Path(requirements).stem)
    recorded = marker.is_file() and marker.read_text(encoding="utf-8") == wanted and works(venv_python())
    if recorded and build is None:
        return
    if not recorded:
        make_environment()
    there = installed_build()
    if there and build and there != build:
        say(
            "The torch of .venv is {} and stays. To change it, type this, then the same command again:\n"
            "  {} -m pip uninstall -y torch torchvision".format(BUILDS[there], venv_python())
        )
    if recorded and there:
        return
    index, build, reason = (None, there, "it is in .venv") if there else choose_torch(build)
    gigabytes = GIGABYTES[requirements] + (0 if there else GIGABYTES[build])
    say("Installing {}, with torch {}: {}.".format(requirements, BUILDS[build], reason))
    print("About {:.1f} GB to download; interrupted, it goes on where it stopped.".format(gigabytes), flush=True)
    # without dependencies, which come from PyPI or the user's index, as all other packages do
    if index and pip_install(["--no-deps", "--index-url", index, *torch_ranges()], ONLY_INDEX) != 0:
        raise Failure(
            "pip could not install torch from {}; its message stands above. Type the same command again to go on, "
            "or with --{} to take PyPI's.".format(index, "cuda" if build == "cpu" else "cpu")
        )
    if pip_install(["-r", requirements]) != 0:
        raise Failure(
            "pip could not install {}; its message stands above. Type the same command again to go on. Where PyPI is "
            "slow or blocked, name a mirror first in the environment variable PIP_INDEX_URL.".format(requirements)
        )
    marker.write_text(wanted, encoding="utf-8")


def make_environment():
    """Make .venv, unless one that works is there."""
    if works(venv_python()):
        return
    say("Making the environment {}".format(VENV))
    shutil.rmtree(str(VENV), ignore_errors=True)
    if subprocess.call([sys.executable, "-m", "venv", str(VENV)]) != 0:
        raise Failure(
            "The environment could not be made. On Debian and Ubuntu: sudo apt install python3-venv, "
            "then the same command again."
        )


def pip_install(words, settings=None):
    """Run pip install, without warnings that concern the machine and not this install; return its exit code."""
    # on a terminal pip's bars show that it works; in a log they are noise, as is all but an error
    options = ["--no-warn-script-location", *([] if sys.stdout.isatty() else ["--quiet", "--quiet"])]
    # pip cannot tell its cache's folder where that is not the user's, and would warn of it
    if not succeeds([str(venv_python()), "-m", "pip", "cache", "dir"]):
        options.append("--no-cache-dir")
    return run_python(["-m", "pip", "install", *options, *words], settings)


def torch_ranges():
    """Return the lines of requirements.txt for torch and torchvision."""
    lines = (REPOSITORY / "requirements.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if re.match(r"torch(vision)?\b", line)]


def installed_build():
    """Return "cuda" or "cpu", the build of the torch in .venv; None where none works."""
    command = [str(venv_python()), "-c", "import torch, torchvision; print(torch.version.cuda or '')"]
    try:
        printed = subprocess.check_output(command, stderr=subprocess.DEVNULL)
    except (OSError, subprocess.CalledProcessError):
        return None
    return "cuda" if printed.strip() else "cpu"


def choose_torch(build):
    """Return the index of torch (None: PyPI), its build and the reason; `build` is what a flag asks for."""
    asked, system = build, platform.system()
    if asked:
        reason = "--{} asks for it".format(asked)
    else:
        build, reason = ("cuda", "an NVIDIA GPU is here") if has_nvidia_gpu() else ("cpu", "no NVIDIA GPU is here")
    if system == "Darwin":
        return None, "cpu", "macOS has no CUDA"
    index = INDEXES.get((system, build))
    if index is None or answers(index):
        return index, build, reason
    silence = "{} does not answer within {} seconds".format(index, SECONDS_TO_ANSWER)
    other = "cuda" if build == "cpu" else "cpu"
    if asked:
        raise Failure("--{}: {}. PyPI has torch {}; --{} takes that.".format(asked, silence, BUILDS[other], other))
    return None, other, "{}, but {}, and this is PyPI's".format(reason, silence)


def has_nvidia_gpu():
    """Say whether NVIDIA's driver answers or shows a device."""
    if any(Path("/dev").glob("nvidia*")):
        return True
    program = shutil.which("nvidia-smi")
    return program is not None and succeeds([program, "-L"])


def answers(index):
    """Say whether a package index answers for torch in time."""
    answered = []

    def ask():
        try:
            urllib.request.urlopen(index + "/torch/", timeout=SECONDS_TO_ANSWER).close()
            answered.append(True)
        except (OSError, HTTPException):
            pass

    # a thread, because the timeout of urllib holds for each of a host's addresses, and not for finding them
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(SECONDS_TO_ANSWER)
    return bool(answered)


def fingerprint(requirements):
    """Return what an install depends on: the requirements files and the Python."""
    digest = hashlib.sha256(platform.python_version().encode())
    for name in ("requirements.txt", requirements):
        digest.update((REPOSITORY / name).read_bytes())
    return digest.hexdigest()


def works(python):
    """Say whether this Python starts and has pip."""
    return python.is_file() and succeeds([str(python), "-c", "import pip"])


def succeeds(command):
    """Run a command in silence and say whether it ends well within a minute."""
    try:
        return subprocess.call(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60) == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


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
    everything, took = steps(), {}
    for number, (purpose, command, accepted, output) in enumerate(everything, start=1):
        script, title = command[0], "Step {} of {}: {}".format(number, len(everything), purpose)
        if script in done and (REPOSITORY / output).exists():
            say("{}: already done (delete {} to do it again)".format(title, RESULTS))
            continue
        if script == "train.py":
            # a new model makes all that follows old
            done = []
        words = [str(word) for word in command]
        coming = [command[0] for _, command, _, _ in everything[number - 1 :]]
        say("{}, {} left\n$ python {}".format(title, time_left(coming, took), " ".join(words)))
        started = time.time()
        code = run_python(words)
        if code == 130:
            raise KeyboardInterrupt
        if code not in accepted:
            raise Failure("{} ended with exit code {}; python quickstart.py goes on from there.".format(script, code))
        took[script] = time.time() - started
        print("({:.0f} s)".format(took[script]), flush=True)
        if code == 0:
            done = [name for name in done if name != script] + [script]
            unfinished = record.with_suffix(".part")
            unfinished.write_text(json.dumps(done), encoding="utf-8")
            unfinished.replace(record)
        else:
            print("A rule is broken here; on a CPU the latency is not the judges'. The journey goes on.", flush=True)
    say(ending())


def time_left(coming, took):
    """Return in words how long the coming scripts take, judged by the seconds that the finished ones `took`."""
    seconds = sum(TYPICAL_SECONDS[script] for script in coming)
    if took:
        seconds *= sum(took.values()) / sum(TYPICAL_SECONDS[script] for script in took)
    minutes = round(seconds / 60)
    return "about {} min".format(minutes) if minutes else "less than 1 min"


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


def run_python(words, settings=None):
    """Run the environment's Python in the repository, with further environment variables; return its exit code."""
    # pip's settings stand here, because an old pip refuses an option that it does not know
    environment = dict(os.environ, PYTHONUTF8="1", PIP_DISABLE_PIP_VERSION_CHECK="1", PIP_ROOT_USER_ACTION="ignore")
    environment.update(settings or {})
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
