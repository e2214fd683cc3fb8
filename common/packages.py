"""Optional packages: looked for without importing them."""

from importlib.util import find_spec

from common.errors import InputError


def require_package(module: str, need: str, requirements: str) -> None:
    """Raise InputError if `module` is not installed: `need` says what needs it, `requirements` is the file to install.

    `need` names the package too, as in `A search needs the package optuna`.
    """
    if find_spec(module) is None:
        raise InputError(f"{need}: pip install -r {requirements}")
