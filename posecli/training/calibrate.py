"""What a peak is worth: fit a checkpoint's confidence on `dev` and write it into the file."""

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
    """Fit peak -> share of joints within 0.2 torso (`diagonal`) on the store's dev people; rewrites `path`.

    Joints that are known not to be in the picture count as wrong wherever they are placed: a leg that
    nobody can see must not be said with confidence.
    """
    network, spec = load_model(path)
    dev = store.take(store.people.dev)
    if not len(dev):
        raise PoseError("The data has no dev people to calibrate on.")
    plain = replace(spec, calibration=((0.0, 1e6), (0.0, 1e6)))  # peaks as they are
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
