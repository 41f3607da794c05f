"""Calibrates the confidence of a checkpoint on `dev`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from posecli.data.cache import PatchStore
from posecli.data.people import not_in_picture
from posecli.engines.estimator import Estimator
from posecli.errors import PoseError
from posecli.metrics import pck
from posecli.metrics.calibration import fit_calibration
from posecli.models.checkpoints import load_model, load_tensors, save_checkpoint


def calibrate(path: Path, store: PatchStore, device: torch.device) -> None:
    """Fit the confidence curve of a checkpoint on the dev people of the store, and write it into the file.

    The curve maps heatmap peaks to the share of joints within 0.2 torso sizes (`diagonal`). Joints that are known
    to be outside the picture count as wrong wherever they are predicted, so that they get a low confidence.
    Raises PoseError if the store has no dev people.
    """
    network, spec = load_model(path)
    dev = store.take(store.people.dev)
    if not len(dev):
        raise PoseError("The data has no dev people to calibrate on.")
    plain = replace(spec, calibration=((0.0, 1e6), (0.0, 1e6)))  # makes the confidence equal to the peak
    estimator = Estimator(network.to(device), plain, device)
    people = dev.people
    found = np.concatenate(
        estimator.estimate(dev.patches, [people.boxes[i : i + 1] for i in range(len(dev))])
    )
    labelled = people.visible > 0
    sizes = pck.torso_sizes(people.keypoints, labelled, people.joints, "diagonal")
    count = pck.counted(labelled, sizes)
    if not count.any():
        raise PoseError("No dev person has a labelled torso to calibrate by.")
    right = pck.within(pck.distances(found, people.keypoints), sizes, 0.2) & count
    count |= not_in_picture(people)
    curve = fit_calibration(found[..., 2][count].astype(np.float64), right[count])
    save_checkpoint(path, load_tensors(path), replace(spec, calibration=curve))
