"""Which config names and group options exist: the YAML files of this folder. Imports nothing heavy."""

from collections.abc import Iterable
from pathlib import Path

from common.errors import check_choice

CONFIG_DIR = Path(__file__).resolve().parent

GROUPS = ("model", "training", "augmentation", "dataset", "competition")

# values of model.head; models/heads.py explains them
HEADS = ("pooled", "last_block", "stages", "second_order")

# the name of the training of a model whose backbone no step has changed (flower_cli.py instant), the keys of a training
# that change it all the same, and its metrics: top-1 out of fold, and the inverse strength of the penalty
UNTRAINED = "instant"
READ_WITHOUT_TRAINING = (
    "training.final_epochs",
    "training.final_input_size",
    "training.use_amp",
    "training.amp_dtype",
    "training.allow_tf32",
)
OUT_OF_FOLD, PROBE_STRENGTH = "out_of_fold_top1", "probe_strength"

# the option of `model=` whose architecture is any of timm's, named by model.architecture
OPEN_MODEL = "timm"

# earlier names of a competition profile and of a form of predictions, which are still accepted
EARLIER_NAMES = {"seed": "kit"}


def option_names(group: str) -> list[str]:
    """Return the names that `group=` accepts, sorted."""
    return sorted(path.stem for path in (CONFIG_DIR / group).glob("*.yaml"))


def check_heads(heads: Iterable[str]) -> None:
    """Raise InputError for a name that is none of `HEADS`."""
    for head in heads:
        check_choice(f"head {head!r}", head, HEADS)


def named_models() -> list[str]:
    """Return the options of `model=` that name a model, sorted: all but `OPEN_MODEL`."""
    return [name for name in option_names("model") if name != OPEN_MODEL]


def current_name(name: str) -> str:
    """Return today's name of a profile or of a form of predictions, which may be given by its earlier one."""
    return EARLIER_NAMES.get(name, name)


def config_names() -> list[str]:
    """Return the names of whole configs, sorted."""
    return sorted(path.stem for path in CONFIG_DIR.glob("*.yaml"))


def describe_options() -> str:
    """Return the lines of a help text that name every group's options."""
    lines = [f"  {group}={' | '.join(option_names(group))}" for group in GROUPS]
    lines.append(
        "  key=value, for example training.epochs=5; 'python train.py --cfg job' prints every key with its value"
    )
    return "\n".join(lines)
