"""Install the kit's packages beside the torch that is already here: python install_beside_torch.py

For Kaggle, Google Colab and Docker images, whose torch fits their GPU. What is there in a version that the kit can use
stays as it is. Elsewhere python quickstart.py installs everything into .venv.
"""

import subprocess
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent
KEPT = ("torch", "torchvision")


class Failure(Exception):
    """One sentence that says what to do."""


def install(requirements: Path) -> None:
    """Install a requirements file with pip, which must leave the packages of KEPT alone.

    Raises Failure if one of them is missing, or if pip cannot install the others without replacing it.
    """
    try:
        kept = [f"{name}=={version(name)}" for name in KEPT]
    except PackageNotFoundError as error:
        raise Failure(f"{error.name} is not installed here: python quickstart.py installs everything.") from error
    with tempfile.TemporaryDirectory() as folder:
        constraints = Path(folder) / "constraints.txt"
        constraints.write_text("\n".join(kept), encoding="utf-8")
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        code = subprocess.call([*command, "-r", str(requirements), "-c", str(constraints)])
    if code != 0:
        raise Failure(
            f"pip could not install the packages beside {' and '.join(kept)}, and nothing was replaced; its message "
            "above says which package was missing or asked for another version."
        )
    print(f"Installed beside {' and '.join(kept)}.")


if __name__ == "__main__":
    try:
        install(REPOSITORY / "requirements.txt")
    except Failure as failure:
        print(f"error: {failure}", file=sys.stderr)
        sys.exit(1)
