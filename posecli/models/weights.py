"""Finds the files of shipped weights by name. The wheel contains the top-level folder `weights/` as `_weights`."""

from __future__ import annotations

from pathlib import Path

from posecli.errors import PoseError
from posecli.models import download

MODEL = "small"  # the default keypoint network
DETECTOR = "person"  # the default detector
_PACKAGE = Path(__file__).parents[1]


def weights_folder() -> Path:
    """The folder of the shipped weights, in the installed package or in the checkout."""
    installed = _PACKAGE / "_weights"
    return installed if installed.is_dir() else _PACKAGE.parent / "weights"


def shipped_models() -> dict[str, Path]:
    """Keypoint models by name."""
    return {p.stem: p for p in sorted(weights_folder().glob("*.safetensors"))}


def shipped_detectors() -> dict[str, Path]:
    """Person detectors by name."""
    return {p.stem: p for p in sorted(weights_folder().glob("*.pt"))}


def find_model(name: str) -> Path:
    """The file of a model, given the name of shipped or downloaded weights, or a path. Never downloads.

    Raises PoseError if there is no such file.
    """
    if name in download.PUBLISHED and name not in download.pulled() and not Path(name).is_file():
        size = download.PUBLISHED[name].megabytes
        raise PoseError(
            f"{name} is not downloaded yet: `posecli weights pull {name}` fetches it ({size} MB)."
        )
    return _find(name, {**shipped_models(), **download.pulled()}, "model", ".safetensors")


def find_any(name: str) -> Path:
    """The file of a model or a detector by name. Raises PoseError."""
    return shipped_detectors()[name] if name in shipped_detectors() else find_model(name)


def find_detector(name: str) -> Path:
    """The file of a detector, given the name of a shipped one or a path. Raises PoseError."""
    return _find(name, shipped_detectors(), "detector", ".pt")


def int8_of(model: Path) -> Path | None:
    """The int8 file next to a model, or None."""
    path = model.with_name(f"{model.stem}-int8.xml")
    return path if path.is_file() else None


def _find(name: str, shipped: dict[str, Path], what: str, suffix: str) -> Path:
    if name in shipped:
        return shipped[name]
    if Path(name).is_file():
        return Path(name)
    names = ", ".join(shipped) or "none"
    raise PoseError(
        f"There is no {what} {name!r}: shipped are {names}; otherwise give the path of a {suffix} file."
    )
