"""How the commands are called from the shell that is looking at them: `python` where that is this interpreter, else its path."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path


def call(module: str, *words: str) -> str:
    """The line that calls `module` in this environment, ready for a shell: `.venv/bin/python -m resnet_lit.board 'my runs'`."""
    return shlex.join([_python(), "-m", module, *words])


def activation() -> str | None:
    """The line that makes `python` this interpreter in a shell; None where it is, or where there is no environment."""
    if sys.prefix == sys.base_prefix or _leads_here("python"):
        return None
    return shlex.join(["source", str(Path(_python()).with_name("activate"))])


def _python() -> str:
    for name in ("python", "python3"):
        if _leads_here(name):
            return name
    here, executable = Path.cwd(), Path(sys.executable)
    return str(executable.relative_to(here)) if executable.is_relative_to(here) else str(executable)


def _leads_here(name: str) -> bool:
    """Both are compared by their folders: an environment's interpreter is a link to the one that it was made with."""
    found = shutil.which(name)
    return (
        found is not None
        and os.path.samefile(found, sys.executable)
        and os.path.realpath(Path(found).parent) == os.path.realpath(Path(sys.executable).parent)
    )
