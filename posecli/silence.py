"""Switches off what ultralytics and openvino send or download. It must run before their import. Also sets their threads.

ultralytics sends analytics, installs packages, downloads fonts and weights, writes settings into
the home folder and logs to stdout; importing openvino sends telemetry. All of it is off here.
"""

from __future__ import annotations

import atexit
import importlib
import os
import shutil
import sys
import tempfile
from types import ModuleType


def silence_ultralytics() -> None:
    """Set ultralytics' switches; must run before its first import in this process."""
    if "ultralytics" in sys.modules:
        return
    settings_folder = tempfile.mkdtemp(prefix="posecli-")  # it insists on writing settings somewhere
    atexit.register(shutil.rmtree, settings_folder, ignore_errors=True)
    os.environ.update(
        YOLO_VERBOSE="False",
        YOLO_OFFLINE="True",
        YOLO_AUTOINSTALL="False",
        YOLO_CONFIG_DIR=settings_folder,
        ULTRALYTICS_SAFE_LOAD="True",
    )
    # Left unset, ultralytics sets it to 1, for our networks too.
    os.environ.setdefault("OMP_NUM_THREADS", str(threads()))


def import_ultralytics() -> ModuleType:
    """ultralytics with its analytics, downloads and logging switched off."""
    silence_ultralytics()
    ultralytics = importlib.import_module("ultralytics")
    settings = importlib.import_module("ultralytics.utils").SETTINGS
    dict.update(settings, sync=False)  # in memory only: its own update would write the file
    return ultralytics


def import_openvino() -> ModuleType:
    """openvino without its telemetry: with None in the way it uses its own empty stand-in."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    return importlib.import_module("openvino")


def threads() -> int:
    """How many threads a network gets on the CPU: OMP_NUM_THREADS, or one for each core that this process may use, as
    torch counts them."""
    asked = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    if asked.isdecimal() and int(asked):
        return int(asked)
    import psutil

    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(psutil.cpu_count(logical=False) or allowed, allowed)
