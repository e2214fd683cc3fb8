"""Rules of the rooms beside the direction of imports, which import-linter holds."""

import ast
import re

import pytest

from tests.helpers import REPOSITORY

LIBRARY = (
    *("common", "configs", "data", "models", "prediction", "evaluation", "training", "tools", "competition"),
    "studio",
)
FLAG = re.compile(r"(?<![\w-])--[a-z]")
# it types the command line of another program: the code in the ZIP
TYPES_FLAGS = "competition/judges_run.py"


@pytest.mark.parametrize("room", LIBRARY)
def test_flags_are_named_above_the_library_alone(room):
    """A whole command, such as 'python evaluate.py --checkpoint P', may stand in a message; a flag alone may not."""
    for path in (REPOSITORY / room).rglob("*.py"):
        if "template" in path.parts or path == REPOSITORY / TYPES_FLAGS:
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        pieces = {id(piece) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for piece in node.values}
        texts = [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)]
        texts += [
            node.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in pieces
        ]
        alone = [text for text in texts if FLAG.search(text) and not re.search(r"python \S+\.py|tensorboard ", text)]
        assert not alone, path
