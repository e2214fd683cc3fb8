"""The outside of a file of torch.save, which is a ZIP: looked at without torch."""

import zipfile
from pathlib import Path

from common.errors import InputError
from common.files import ZIP_DAMAGE


def check_checkpoint(path: Path) -> None:
    """Raise InputError if the file is missing, or no ZIP of uncompressed members; their content is not read."""
    if not path.is_file():
        raise InputError(f"{path}: no such checkpoint. Train one with python train.py, or name another.")
    try:
        with zipfile.ZipFile(path) as archive:
            # compressed ones may be a zip bomb
            if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
                raise damaged(path)
    except ZIP_DAMAGE as error:
        raise damaged(path) from error


def damaged(path: Path) -> InputError:
    """Return the error of a file that torch cannot read, or would have to run to read."""
    return InputError(f"{path}: damaged, or not a checkpoint of this kit; it was not read.")
