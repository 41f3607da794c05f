"""Imports ultralytics and openvino without telemetry and downloads. Also sets their number of threads.

By default ultralytics sends analytics, installs packages, downloads fonts and weights, writes settings into the home
folder, and logs to stdout. Importing openvino sends telemetry. This module switches all of this off.
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
    """Set the environment variables for ultralytics. Must run before its first import in this process."""
    if "ultralytics" in sys.modules:
        return
    settings_folder = tempfile.mkdtemp(prefix="posecli-")  # ultralytics always writes a settings file
    atexit.register(shutil.rmtree, settings_folder, ignore_errors=True)
    os.environ.update(
        YOLO_VERBOSE="False",
        YOLO_OFFLINE="True",
        YOLO_AUTOINSTALL="False",
        YOLO_CONFIG_DIR=settings_folder,
        ULTRALYTICS_SAFE_LOAD="True",
    )
    # If it is not set, ultralytics sets it to 1, which would slow down all networks.
    os.environ.setdefault("OMP_NUM_THREADS", str(threads()))


def import_ultralytics() -> ModuleType:
    """Import ultralytics without analytics, downloads and logging."""
    silence_ultralytics()
    ultralytics = importlib.import_module("ultralytics")
    settings = importlib.import_module("ultralytics.utils").SETTINGS
    dict.update(settings, sync=False)  # settings.update() would write the file
    return ultralytics


def import_openvino() -> ModuleType:
    """Import openvino without telemetry. If the telemetry module can't be imported, openvino uses an empty stub.

    Also without its converter, `openvino.tools.ovc`: that takes 0.1 s, and openvino does without. It can be imported later.
    """
    if "openvino" in sys.modules:
        return importlib.import_module("openvino")
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    late = sys.modules.setdefault("openvino.tools.ovc", None) is None  # type: ignore[arg-type]
    openvino = importlib.import_module("openvino")
    if late:
        del sys.modules["openvino.tools.ovc"]
    return openvino


def threads() -> int:
    """Number of CPU threads for a network: OMP_NUM_THREADS, otherwise the number of cores this process may use.

    Cores are counted as in torch.
    """
    asked = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    if asked.isdecimal() and int(asked):
        return int(asked)
    import psutil

    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(psutil.cpu_count(logical=False) or allowed, allowed)
