"""Every command line in the guides is one that the kit understands: config lines compose, flags parse."""

import importlib
import re
import shlex

import pytest

from cli.entry import split_overrides
from cli.flower_cli import build_parser as flower_cli_parser
from configs.compose import compose, expand_sweep, parse_override
from tests.helpers import REPOSITORY
from tools.search_space import check_space, read_space

pytestmark = pytest.mark.integration

PAGES = (
    "README.md",
    "README.zh-CN.md",
    "docs/TRAINING_GUIDE.md",
    "docs/RECIPES.md",
    "docs/INSTALL.md",
    "docs/CONFIGURATION.md",
    "docs/TOOLS.md",
    "docs/RESULTS.md",
    "docs/SCALING.md",
    "docs/RELIABILITY.md",
    "docs/COMPETITIONS.md",
    "CONTRIBUTING.md",
)
SCRIPTS = ("evaluate", "inference", "ensemble", "check_competition", "prepare_submission", "compete")
# tools of others, and the two commands, which have their own tests
ELSEWHERE = re.compile(
    r"(git clone|cd|source|lint-imports|pyright|tensorboard --logdir"
    r"|python (quickstart\.py( test)?|install_beside_torch\.py)$|python -m (pytest|ruff|venv|pip)"
    r"|python benchmarks/\w+\.py|\.venv\\Scripts\\python -m pip install)( |$)"
)


def command_lines():
    for page in PAGES:
        text = (REPOSITORY / page).read_text(encoding="utf-8")
        # blocks of a language, such as ```python, are no command lines
        for language, block in re.findall(r"^```(\w*)\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE):
            # a line that ends with a backslash goes on
            block = re.sub(r"\\\n\s*", "", block)
            for line in block.splitlines() if not language else []:
                yield pytest.param(line.strip(), id=f"{page}: {line.strip()}")


def parse_training(words):
    name, rest = "config", list(words)
    if rest and rest[0] == "--config-name":
        name, rest = rest[1], rest[2:]
    flags = [word for word in rest if word in ("-m", "--multirun", "--cfg", "job", "--plan")]
    overrides = [word for word in rest if word not in flags]
    for job in expand_sweep(overrides) if {"-m", "--multirun"} & set(flags) else [overrides]:
        compose(name, job)


def check_line(line):
    """Fail if the kit does not understand a command line."""
    words = shlex.split(re.sub(r"^torchrun( --\S+)+", "python", line))
    assert words[0] == "python", line
    script = words[1].removesuffix(".py")
    assert (REPOSITORY / words[1]).is_file()
    if script == "train":
        parse_training(words[2:])
        return
    flags, overrides = split_overrides(words[2:])
    if flags[:1] == ["tune"]:
        check_space(read_space(overrides))
    else:
        for override in overrides:
            parse_override(override)
    if script == "cli/flower_cli":
        flower_cli_parser().parse_args(flags)
    else:
        assert script in SCRIPTS
        importlib.import_module(script).build_parser().parse_args(flags)


@pytest.mark.parametrize("line", list(command_lines()))
def test_the_line_is_understood(line):
    if not ELSEWHERE.match(line):
        check_line(line)


def test_the_guide_has_its_lines():
    guide = [str(parameter.values[0]) for parameter in command_lines()]
    for script in ("train.py", *(f"{script}.py" for script in SCRIPTS)):
        assert any(f"python {script}" in line for line in guide)
    assert sum(line.startswith("python train.py") for line in guide) > 12
