"""Packages that only some commands need."""

from __future__ import annotations

import importlib
from typing import Any

from posecli.errors import PoseError


def library(name: str) -> Any:
    """A package of the extra `formats`; raises PoseError with the line that installs it."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise PoseError(f"This needs the package {name}: pip install 'posecli[formats]'.") from error
