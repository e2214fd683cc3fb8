"""Where a profile wants what in its ZIP, and which of our files go into it."""

import re
from collections import Counter
from importlib import metadata
from pathlib import Path, PurePosixPath

from common.errors import InputError
from configs.schema import ZipLayoutConfig

REPOSITORY = Path(__file__).resolve().parents[1]

TEMPLATE_DIR = Path(__file__).resolve().parent / "template"

TEMPLATE_FILES = ("model.py", "train.py", "predict.py", "utils.py")

# What the template imports. pip keeps the judges' packages where they fit, so each range leaves out what would break
# an old torch: timm from 1.0.12 on does not run on Python 3.8 with torch 1.9; torch before 2.3 cannot use numpy 2,
# which opencv from 4.12 on installs. From Python 3.10 on, timm is the version that the ZIP was proven with, because
# another one could build another network.
TEMPLATE_REQUIREMENTS = (
    "torch>={torch}",
    'timm>=1.0.9,<1.0.12; python_version < "3.10"',
    'timm=={timm}; python_version >= "3.10"',
    'numpy>=1.19,<2; python_version < "3.10"',
    'numpy>=1.21; python_version >= "3.10"',
    "opencv-python-headless>=4.5,<4.12",
    "pillow>=8",
)

CODE_DIR = "code"

_SCRIPTS = ("train.py", "evaluate.py", "inference.py", "check_competition.py", "prepare_submission.py")

# judges run no tests, and the page needs gradio
_NOT_PACKED = ("tests", "studio")
_CODE = (".py", ".yaml")


def model_names(layout: ZipLayoutConfig, count: int) -> list[str]:
    """Return the paths in the ZIP of `count` models: the profile's own, then model_2, model_3 beside it."""
    first = PurePosixPath(layout.model)
    return [str(first), *(str(first.with_name(f"model_{number}{first.suffix}")) for number in range(2, count + 1))]


def provenance_name(layout: ZipLayoutConfig) -> str | None:
    """Return where the kit's ZIP says with which views its predictions were made; the template's config.json does."""
    return str(PurePosixPath(layout.predictions).with_suffix(".json")) if layout.code == "kit" else None


def code_files(layout: ZipLayoutConfig) -> dict[str, Path]:
    """Return the code of the ZIP, `{path in the ZIP: our file}`."""
    if layout.code == "template":
        return {f"{CODE_DIR}/{name}": TEMPLATE_DIR / name for name in TEMPLATE_FILES}
    files = [REPOSITORY / name for name in _SCRIPTS]
    for package in sorted(path.parent for path in REPOSITORY.glob("*/__init__.py")):
        if package.name not in _NOT_PACKED:
            files += [path for folder in _folders_of(package) for path in folder.iterdir() if path.suffix in _CODE]
    return {f"{CODE_DIR}/{path.relative_to(REPOSITORY).as_posix()}": path for path in sorted(files)}


def check_paths(layout: ZipLayoutConfig, count: int) -> None:
    """Raise InputError if two files of the ZIP of `count` models would have one path, or one has none in a ZIP."""
    provenance, config = provenance_name(layout), layout.model_config
    paths = [*code_files(layout), *model_names(layout, count), layout.predictions, layout.requirements]
    paths += [path for path in (provenance, config) if path is not None]
    for path in (*paths, layout.model):
        parts = PurePosixPath(path)
        if str(parts) != path or path == "." or parts.is_absolute() or {"..", "\\", ":"} & {*parts.parts, *path}:
            raise InputError(f"competition.zip_layout: {path!r} is no path of a file within a ZIP.")
    # Windows and macOS unpack names that differ in case alone to one file
    twice = [path for path, times in Counter(path.casefold() for path in paths).items() if times > 1]
    if twice:
        raise InputError(
            f"competition.zip_layout: two files of the ZIP would be {twice[0]}. Give each of model, model_config, "
            "predictions and requirements a path of its own."
        )


def _folders_of(package: Path) -> list[Path]:
    """Return the folders of a package; those of data/ that are no sub-packages hold images and stay here."""
    if package.name == "data":
        return [package, *(path.parent for path in package.glob("*/__init__.py"))]
    return [package, *(path for path in package.rglob("*") if path.is_dir())]


def requirements_text(layout: ZipLayoutConfig, oldest_torch: str) -> str:
    """Return the requirements of the code in the ZIP; the template's can be met by each Python from 3.8 on.

    `oldest_torch` is the first release of torch that runs the models.
    """
    if layout.code == "kit":
        return (REPOSITORY / "requirements.txt").read_text(encoding="utf-8")
    versions = {"torch": oldest_torch, "timm": metadata.version("timm")}
    return "".join(f"{line.format(**versions)}\n" for line in TEMPLATE_REQUIREMENTS)


def allowed_names(layout: ZipLayoutConfig, present: list[str]) -> tuple[list[str], list[str]]:
    """Return the files of the profile that are not in `present`, and those of `present` that it has no place for."""
    required = [
        layout.model,
        layout.predictions,
        layout.requirements,
        *([layout.model_config] if layout.model_config else []),
    ]
    if layout.code == "template":
        required += [f"{CODE_DIR}/{name}" for name in TEMPLATE_FILES]
    else:
        required += [f"{CODE_DIR}/{name}" for name in _SCRIPTS]
    missing = [name for name in required if name not in present]
    extra = [name for name in present if name not in required and not _is_further(name, layout)]
    return missing, extra


def _is_further(name: str, layout: ZipLayoutConfig) -> bool:
    """Say whether a file that is not required has its place: a second model, the kit's code, its provenance."""
    first = PurePosixPath(layout.model)
    if re.fullmatch(rf"{re.escape(str(first.parent))}/model_\d+{re.escape(first.suffix)}", name):
        return True
    if layout.code == "template":
        return False
    return name == provenance_name(layout) or (
        name.startswith(f"{CODE_DIR}/") and PurePosixPath(name).suffix in (".py", ".yaml")
    )
