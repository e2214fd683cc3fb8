"""Run scripts of the kit one after the other where torch cannot be imported: JSON from standard input, JSON out.

In come lists of words, the first being the script; out come the exit code, the output and the errors of each. The
packages that PACKAGES_NOT_FOUND names, with commas, are not found.
"""

import contextlib
import importlib
import importlib.abc
import importlib.util
import io
import json
import os
import sys
import traceback
from unittest import mock

import cli.entry

HEAVY = {"torch", "torchvision", "timm", "albumentations", "sklearn", "matplotlib", "gradio", "onnx", "openvino"}


class Refuser(importlib.abc.MetaPathFinder):
    """Raises instead of finding what is heavy."""

    def find_spec(self, fullname, path=None, target=None):
        """Raise ImportError for a heavy package; leave the others to other finders."""
        if fullname.partition(".")[0] in HEAVY:
            raise ImportError(f"{fullname} was imported")


def run(words: list[str]) -> dict[str, object]:
    """Run a script as its process would."""
    main = importlib.import_module(words[0].removesuffix(".py").replace("/", ".")).main
    streams = [io.StringIO(), io.StringIO()]
    code: object = 1
    with (
        mock.patch.object(sys, "argv", words),
        contextlib.redirect_stdout(streams[0]),
        contextlib.redirect_stderr(streams[1]),
    ):
        try:
            cli.entry.run_script(main)
        except SystemExit as end:
            code = end.code
        except Exception:  # noqa: BLE001 - what nobody has caught is a fault that the test shows
            traceback.print_exc()
    return {"code": code, "stdout": streams[0].getvalue(), "stderr": streams[1].getvalue()}


if __name__ == "__main__":
    sys.meta_path.insert(0, Refuser())
    missing, find_spec = os.environ.get("PACKAGES_NOT_FOUND", "").split(","), importlib.util.find_spec
    importlib.util.find_spec = lambda name, package=None: None if name in missing else find_spec(name, package)
    answers = [run(words) for words in json.load(sys.stdin)]
    print(json.dumps(answers))
