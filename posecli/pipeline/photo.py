"""The steps of one photo: people, joints, pictures and JSON."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np

from posecli.engines.detector import Detector
from posecli.engines.estimator import Estimator
from posecli.errors import PoseError
from posecli.files import readable_name
from posecli.pipeline.choices import Choices
from posecli.pipeline.loop import in_skeleton
from posecli.pipeline.people import shown_rows
from posecli.sources.photos import read_photo
from posecli.types import Boxes, Frame, FramePoses, Image, Person, Photo


def photo_poses(
    path: Path, detector: Detector | None, estimator: Estimator, choices: Choices, box: str | None = None
) -> FramePoses:
    """Everybody in a photo with their heatmaps; `box` ("x,y,w,h" or "centre") stands for the detector."""
    image = read_photo(path)
    if box is not None:
        boxes = given_box(box, image, estimator.spec.crop_factor)
    elif detector is not None:
        boxes = detector.find(image)
    else:
        raise PoseError("Give a detector or a bounding box.")
    [(keypoints, maps)] = estimator.estimate_with_maps([image], [boxes.xyxy])
    # A box that somebody gave is a person, whatever the network says.
    kept = [0] if box is not None else shown_rows(boxes, keypoints, choices.max_people)
    people = tuple(Person(None, float(boxes.scores[i]), boxes.xyxy[i], keypoints[i]) for i in kept)
    chosen_maps = tuple(maps[i] for i in kept)
    photo = Photo(readable_name(path), image.shape[1], image.shape[0])
    return FramePoses(
        Frame(0, Fraction(0), image, photo=photo), in_skeleton(people, estimator, choices), chosen_maps
    )


def given_box(text: str, image: Image, crop_factor: float | tuple[float, float]) -> Boxes:
    """ "x,y,w,h" in pixels, or "centre": one subject in the middle, so that the crop is the whole photo."""
    height, width = image.shape[:2]
    if text in ("centre", "center"):
        across, down = np.broadcast_to(crop_factor, 2)
        w, h = float(width / across), float(height / down)
        x, y = (width - w) / 2, (height - h) / 2
    else:
        try:
            x, y, w, h = (float(v) for v in text.split(","))
        except ValueError:
            raise PoseError(f"--box {text} is neither x,y,w,h in pixels nor centre.") from None
        if not np.isfinite([x, y, w, h]).all() or w <= 0 or h <= 0:
            raise PoseError(f"--box {text} has no size; give x,y,w,h with w and h above 0.")
        if x >= width or y >= height or x + w <= 0 or y + h <= 0:
            raise PoseError(f"--box {text} lies outside the photo, which is {width}x{height}.")
    return Boxes(np.array([[x, y, x + w, y + h]], np.float32), np.ones(1, np.float32))
