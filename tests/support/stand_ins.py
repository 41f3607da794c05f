"""Fast replacements for the detector and the network. Their output depends only on the image."""

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np

from posecli.models.checkpoints import ModelSpec
from posecli.output.record import Outputs, Style, check_outputs, record
from posecli.pipeline.choices import Choices
from posecli.pipeline.loop import poses
from posecli.skeletons import BODY19
from posecli.sources.open import open_source
from posecli.types import Boxes

# A tiny real network.
SPEC = ModelSpec(
    "hourglass",
    {"stacks": 2, "features": 16, "keypoints": 19, "stem": [8, 16, 16]},
    input_size=(64, 64),
    calibration=((0.0, 1.0), (0.1, 0.9)),
)
HEADER = {"source": {}, "options": {"stride": 1}, "model": {"name": "none"}}


@dataclass(frozen=True)
class MovingPeople:
    """Finds two people who cross, and sometimes a third. The output depends only on the image."""

    confidence: float = 0.25

    def find(self, image, confidence=None) -> Boxes:
        t = float(image.mean()) % 20
        xyxy = [[10 + t, 10, 40 + t, 80], [60 - t, 12, 90 - t, 85], [100, 20, 130, 80.0]]
        scores = np.array([0.9, 0.8, 0.2 + 0.6 * (t > 10)], np.float32)
        return Boxes(np.array(xyxy, np.float32), scores)


class Middle:
    """Places every joint near the middle of its box, depending on the colours of the image."""

    spec = SimpleNamespace(bones=BODY19)

    def estimate_with_maps(self, images, boxes, keep=False, timer=None):
        result = []
        for image, of_image in zip(images, boxes, strict=True):
            middle = (of_image[:, None, :2] + of_image[:, None, 2:]) / 2
            spread = np.linspace(-9, 9, 19)[None, :, None] * [0.7, 1.9] + float(image.std()) / 100
            sure = np.full((len(of_image), 19, 1), 0.8)
            result.append((np.concatenate([middle + spread, sure], axis=2).astype(np.float32), ()))
        return result


def run(clip: Path, out: Path, resume: bool = False, choices: Choices = Choices(), style: Style = Style()):
    """Record a clip like the command `run`, but with the stand-ins."""
    source = open_source(str(clip))
    outputs = Outputs(out, out.with_suffix(".csv"), out.with_suffix(".json"))
    check_outputs(outputs, overwrite=False, resume=resume)
    return record(
        source, lambda before: poses(source, MovingPeople(), Middle(), choices, before), BODY19, outputs,
        style, HEADER, resume=resume,
    )  # fmt: skip


def results(folder: Path) -> tuple[bytes, bytes, list]:
    """The content of o.csv, o.json and o.mp4 in a folder: the bytes of two files, and every frame with its time."""
    with av.open(str(folder / "o.mp4")) as container:
        pictures = [(f.pts * f.time_base, f.to_ndarray().tobytes()) for f in container.decode(video=0)]
    return (folder / "o.csv").read_bytes(), (folder / "o.json").read_bytes(), pictures
