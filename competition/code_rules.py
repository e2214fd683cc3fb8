"""Code rules of a submission, checked without running it: syntax, imports, paths, downloads, unsafe loading."""

import ast
import functools
import re
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

from competition.checks import Check

# reads the records of all installed packages
_packages_distributions = functools.cache(packages_distributions)

# the contest's oldest Python
OLDEST_PYTHON = (3, 8)

_ABSOLUTE = re.compile(r"^(/(home|root|Users|mnt|data|kaggle|content|workspace|tmp|opt)/|[A-Za-z]:[\\/])")


def check_code(folder: Path, requirements: Path, template: bool) -> list[Check]:
    """Check all Python files below `folder`. Files of the template must parse with `OLDEST_PYTHON`."""
    files, broken = {}, []
    for path in sorted(folder.rglob("*.py")):
        try:
            source = path.read_text(encoding="utf-8")
            tree = ast.parse(source, feature_version=OLDEST_PYTHON if template else None)
            # walked once, because each rule looks at all of them
            files[path.relative_to(folder).as_posix()] = list(ast.walk(tree))
        except (SyntaxError, ValueError) as error:
            broken.append(f"{path.name}: {error}")
    version = ".".join(map(str, OLDEST_PYTHON)) if template else "this Python"
    checks = [Check("code syntax", not broken, "; ".join(broken)[:200] or f"{len(files)} files", version)]
    faults = {
        "imports": _unlisted_imports(files, folder, requirements),
        "absolute paths": list(_absolute_paths(files)),
        "downloads": list(_downloads(files)),
        "safe loading": list(_unsafe_loads(files)),
    }
    allowed = {
        "imports": f"standard library, own files, {requirements.name}",
        "absolute paths": "none in the code",
        "downloads": "no weights fetched at judging",
        "safe loading": "no weights_only=False",
    }
    for rule, found in faults.items():
        checks.append(Check(f"code {rule}", not found, "; ".join(found[:3]) or "as they should be", allowed[rule]))
    return checks


def required_distributions(requirements: Path) -> set[str]:
    """Return the normalised names of the packages that a requirements file lists."""
    names = set()
    if requirements.is_file():
        for line in requirements.read_text(encoding="utf-8", errors="replace").splitlines():
            match = re.match(r"\s*([A-Za-z0-9][\w.-]*)", line)
            if match:
                names.add(_normalised(match.group(1)))
    return names


def _unlisted_imports(files: dict[str, list[ast.AST]], folder: Path, requirements: Path) -> list[str]:
    own = {path.stem for path in folder.rglob("*.py")} | {path.name for path in folder.iterdir() if path.is_dir()}
    listed, providers = required_distributions(requirements), _packages_distributions()
    faults = []
    for name, nodes in files.items():
        for module in sorted(set(_imported(nodes))):
            if module in own or module in sys.stdlib_module_names:
                continue
            candidates = {_normalised(provider) for provider in (*providers.get(module, []), module)}
            if not any(_same_package(candidate, given) for candidate in candidates for given in listed):
                faults.append(f"{name} imports {module}, which is not in {requirements.name}")
    return faults


def _imported(nodes: list[ast.AST]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module.partition(".")[0]


def _same_package(candidate: str, given: str) -> bool:
    # opencv-python-headless can replace opencv-python
    return candidate == given or (candidate.startswith("opencv-") and given.startswith("opencv-"))


def _absolute_paths(files: dict[str, list[ast.AST]]) -> Iterator[str]:
    for name, nodes in files.items():
        for node in nodes:
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and _ABSOLUTE.match(node.value):
                yield f"{name}, line {node.lineno}: {node.value[:60]!r}"


def _downloads(files: dict[str, list[ast.AST]]) -> Iterator[str]:
    for name, nodes in files.items():
        for call in _calls(nodes):
            if _called(call) == "load_state_dict_from_url":
                yield f"{name}, line {call.lineno}: load_state_dict_from_url"
            for keyword in call.keywords:
                value = keyword.value.value if isinstance(keyword.value, ast.Constant) else None
                if keyword.arg == "pretrained" and value and not _names_folder(call):
                    yield f"{name}, line {call.lineno}: pretrained={value}"


def _names_folder(call: ast.Call) -> bool:
    """Say whether the model that timm is asked for is a folder, given as `local-dir:<folder>`: nothing is fetched."""
    name: ast.AST | None = call.args[0] if call.args else None
    if isinstance(name, ast.JoinedStr):
        name = name.values[0]
    return isinstance(name, ast.Constant) and str(name.value).startswith("local-dir:")


def _unsafe_loads(files: dict[str, list[ast.AST]]) -> Iterator[str]:
    for name, nodes in files.items():
        for call in _calls(nodes):
            for keyword in call.keywords:
                unsafe = isinstance(keyword.value, ast.Constant) and keyword.value.value is False
                if keyword.arg == "weights_only" and unsafe:
                    yield f"{name}, line {call.lineno}: {_called(call)}(weights_only=False)"


def _calls(nodes: list[ast.AST]) -> Iterator[ast.Call]:
    return (node for node in nodes if isinstance(node, ast.Call))


def _called(call: ast.Call) -> str:
    function = call.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
