"""Torch files, written atomically and read safely: members checked, `weights_only=True`."""

import hashlib
import pickle
import shutil
import zipfile
from pathlib import Path
from typing import Any

import torch

from common.checkpoint_file import check_checkpoint, damaged
from common.errors import InputError, RunError
from common.files import replacing

FORMAT_VERSION = 1
# what torch.load raises for damaged files and for files of another kind
LOAD_ERRORS = (
    pickle.UnpicklingError,
    zipfile.BadZipFile,
    RuntimeError,
    EOFError,
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
)


def sha256(*paths: Path) -> str:
    """Return the SHA-256 of a file, or of several one after the other, as hexadecimal digits."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def save_payload(payload: dict[str, Any], path: Path, previous: Path | None = None) -> None:
    try:
        with replacing(path, previous) as temporary:
            torch.save(payload, temporary)
    except (OSError, RuntimeError) as error:
        # for a full disk torch only reports an unexpected position in the file
        reason = error.strerror if isinstance(error, OSError) else "the disk is full or refuses to write"
        free, needed = shutil.disk_usage(path.parent).free, _tensor_bytes(payload)
        raise RunError(
            f"{path}: could not be written ({reason}). It needs about {needed / 1e6:.1f} MB; its disk has "
            f"{free / 1e6:.1f} MB free. What stood there is kept. Make room, then give the same command with "
            "training.resume=auto."
        ) from error


def _tensor_bytes(value: Any) -> int:
    if isinstance(value, torch.Tensor):
        return value.nbytes
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return sum(_tensor_bytes(item) for item in items)


def _check_members(path: Path) -> None:
    """Raise BadZipFile for a flipped bit, which torch does not notice."""
    with zipfile.ZipFile(path) as archive:
        changed = archive.testzip()
        if changed is not None:
            raise zipfile.BadZipFile(changed)


def load_payload(path: Path, expected_format: str, whole: bool = True) -> dict[str, Any]:
    """Read a file of `save_payload`. Raises InputError if it is missing, damaged, or of another format.

    Of a file that is not read as a `whole`, the tensors stay on the disk until they are used, and damage to them is not
    noticed.
    """
    check_checkpoint(path)
    try:
        if whole:
            _check_members(path)
        payload = torch.load(path, map_location="cpu", weights_only=True, mmap=not whole)
    except LOAD_ERRORS as error:
        raise damaged(path) from error
    if not isinstance(payload, dict) or payload.get("format") != expected_format:
        raise InputError(f"{path}: not a {expected_format} file. best_model.pt is for use, last.pt for resuming.")
    if payload.get("format_version") != FORMAT_VERSION:
        raise InputError(f"{path}: written by another version of this kit (format {payload.get('format_version')}).")
    return payload
