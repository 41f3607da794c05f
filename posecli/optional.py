"""Packages that only some commands need."""

from __future__ import annotations

import importlib
import os
from typing import Any

from posecli.errors import PoseError


def library(name: str, extra: str = "formats") -> Any:
    """Import a package of an extra. If it is missing, raises PoseError with the command that installs it."""
    # ultralytics limits numexpr to one thread. numexpr, which pandas imports, then prints a warning to stderr.
    os.environ.setdefault("NUMEXPR_NUM_THREADS", "1")
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise PoseError(f"This needs the package {name}: pip install 'posecli[{extra}]'.") from error
