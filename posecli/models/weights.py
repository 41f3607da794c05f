"""The shipped weights: names -> files. The wheel contains the top folder `weights/` as `_weights`."""

from __future__ import annotations

from pathlib import Path

from posecli.errors import PoseError
from posecli.models import download

MODEL = "small"  # the keypoint network where none is named
DETECTOR = "person"
_PACKAGE = Path(__file__).parents[1]


def weights_folder() -> Path:
    """Where the shipped weights lie: in the installed package, or in the checkout."""
    installed = _PACKAGE / "_weights"
    return installed if installed.is_dir() else _PACKAGE.parent / "weights"


def shipped_models() -> dict[str, Path]:
    """Keypoint models by name."""
    return {p.stem: p for p in sorted(weights_folder().glob("*.safetensors"))}


def shipped_detectors() -> dict[str, Path]:
    """Person detectors by name."""
    return {p.stem: p for p in sorted(weights_folder().glob("*.pt"))}


def find_model(name: str) -> Path:
    """A shipped or pulled model's name or a file's path -> the file. Fetches nothing."""
    if name in download.PUBLISHED and name not in download.pulled() and not Path(name).is_file():
        size = download.PUBLISHED[name].megabytes
        raise PoseError(
            f"{name} is not downloaded yet: `posecli weights pull {name}` fetches it ({size} MB)."
        )
    return _find(name, {**shipped_models(), **download.pulled()}, "model", ".safetensors")


def find_any(name: str) -> Path:
    """A model's or a detector's name -> the file."""
    return shipped_detectors()[name] if name in shipped_detectors() else find_model(name)


def find_detector(name: str) -> Path:
    """A shipped detector's name or a file's path -> the file."""
    return _find(name, shipped_detectors(), "detector", ".pt")


def int8_of(model: Path) -> Path | None:
    """The int8 file that lies beside a model, or None."""
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
