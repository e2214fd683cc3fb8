"""Image ids that every system and every CSV can hold; whatever has to be renamed is listed."""

import re
from collections.abc import Mapping
from pathlib import PurePosixPath

from common.files import ON_WINDOWS, WINDOWS_DEVICES
from data.listing import escaped

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

_WINDOWS_DRIVE_OR_SEPARATOR = re.compile(r"\\|^[A-Za-z]:")

_NOT_ON_WINDOWS = re.compile(r'[<>:"|?*]|[ .]$')


def safe_names(ids: Mapping[str, Mapping[str, str]]) -> tuple[dict[str, dict[str, str]], dict[str, str]]:
    """Return the ids of each part (id to path) with safe ids, and what was renamed (`part/new id` to the old id).

    Bytes that are no UTF-8, control characters, and what Windows takes for a drive or a folder are written as in web
    addresses, `%E9`. Of names that differ only in case, which one file on Windows and macOS, all but one get `~2`.
    """
    safe: dict[str, dict[str, str]] = {}
    renamed: dict[str, str] = {}
    for part, paths in ids.items():
        safe[part] = {}
        taken: set[str] = set()
        for old, path in sorted(paths.items()):
            new = _unused(safe_name(old), taken)
            taken.add(new.casefold())
            safe[part][new] = path
            if new != old:
                renamed[f"{part}/{new}"] = _as_bytes(old)
    return safe, renamed


def _as_bytes(name: str) -> str:
    """Return a file name with the bytes that no text holds as in Python, such as `caf\\xe9.jpg`."""
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return _CONTROL.sub(lambda match: f"\\x{ord(match.group()):02x}", text)


def safe_name(name: str) -> str:
    """Return an image id that can be written to a CSV and to a file on this system."""
    return "/".join(_safe_component(component) for component in name.split("/"))


def _safe_component(component: str) -> str:
    text = _WINDOWS_DRIVE_OR_SEPARATOR.sub(_as_hexadecimal, escaped(component))
    if ON_WINDOWS:
        text = _NOT_ON_WINDOWS.sub(_as_hexadecimal, text)
        text = f"_{text}" if WINDOWS_DEVICES.fullmatch(text) else text
    return text


def _as_hexadecimal(match: re.Match[str]) -> str:
    return "".join(f"%{ord(sign):02X}" for sign in match.group())


def _unused(name: str, taken: set[str]) -> str:
    new, number = name, 2
    while new.casefold() in taken:
        path = PurePosixPath(name)
        new = (path.parent / f"{path.stem}~{number}{path.suffix}").as_posix()
        number += 1
    return new
