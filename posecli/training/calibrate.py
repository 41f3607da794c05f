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
from posecli.types import Array


def calibrate(path: Path, store: PatchStore, device: torch.device) -> None:
    """Fit the confidence curve of a checkpoint on the dev people of the store, and write it into the file.

    The curve maps heatmap peaks to the share of joints within 0.2 torso sizes (`diagonal`). Joints that are known
    to be outside the picture count as wrong wherever they are predicted, so that they get a low confidence.
    Also choose whether people whose torso leans are looked at twice (`ModelSpec.second_look`): if that raises the PCK.
    Raises PoseError if the store has no dev people.
    """
    network, spec = load_model(path)
    dev = store.take(store.people.dev)
    if not len(dev):
        raise PoseError("The data has no dev people to calibrate on.")
    plain = replace(
        spec, calibration=((0.0, 1e6), (0.0, 1e6)), second_look=False
    )  # makes the confidence equal to the peak
    estimator = Estimator(network.to(device), plain, device)
    people = dev.people
    found = _estimated(estimator, dev)
    labelled = people.visible > 0
    sizes = pck.torso_sizes(people.keypoints, labelled, people.joints, "diagonal")
    count = pck.counted(labelled, sizes)
    if not count.any():
        raise PoseError("No dev person has a labelled torso to calibrate by.")
    right = pck.within(pck.distances(found, people.keypoints), sizes, 0.2) & count
    count |= not_in_picture(people)
    curve = fit_calibration(found[..., 2][count].astype(np.float64), right[count])
    spec = replace(spec, calibration=curve, second_look=False)
    pcks = [_pck(replace(estimator, spec=replace(spec, second_look=again)), dev) for again in (False, True)]
    save_checkpoint(path, load_tensors(path), replace(spec, second_look=pcks[1] > pcks[0]))


def _pck(estimator: Estimator, store: PatchStore) -> float:
    """PCK@0.2 (`diagonal`) from the labelled boxes."""
    found, people = _estimated(estimator, store), store.people
    labelled = people.visible > 0
    sizes = pck.torso_sizes(people.keypoints, labelled, people.joints, "diagonal")
    right = pck.within(pck.distances(found, people.keypoints), sizes, 0.2)
    return pck.pooled(right, pck.counted(labelled, sizes)) or 0.0


def _estimated(estimator: Estimator, store: PatchStore) -> Array:
    """Keypoints (N, K, 3) of a store's people from their boxes."""
    boxes = [store.people.boxes[i : i + 1] for i in range(len(store))]
    return np.concatenate(estimator.estimate(store.patches, boxes))
