"""Calibrates the confidence of a checkpoint on `dev`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from posecli.data.cache import PatchStore
from posecli.data.people import not_in_picture
from posecli.engines.estimator import Estimator
from posecli.errors import PoseError
from posecli.metrics import pck
from posecli.metrics.calibration import fit_calibration
from posecli.models.checkpoints import load_model, load_tensors, save_checkpoint
from posecli.types import Array


def calibrate(
    path: Path, store: PatchStore, device: torch.device, shares: Mapping[str, float] | None = None
) -> None:
    """Fit the confidence curve of a checkpoint on the dev people of the store, and write it into the file.

    The curve maps heatmap peaks to the share of joints within 0.2 torso sizes (`diagonal`). Joints that are known
    to be outside the picture count as wrong wherever they are predicted, so that they get a low confidence.
    shares: how much the joints of each source count together. Default: all joints count the same.
    Also choose whether people whose torso leans are looked at twice (`ModelSpec.second_look`): if that raises the PCK.
    Raises PoseError if the store has no dev people.
    """
    network, spec = load_model(path)
    dev = store.take(store.people.dev)
    if not len(dev):
        raise PoseError("The data has no dev people to calibrate on.")
    # This curve makes the confidence equal to the peak.
    plain = replace(spec, calibration=((0.0, 1e6), (0.0, 1e6)), second_look=False)
    estimator = Estimator(network.to(device), plain, device)
    people = dev.people
    labelled = people.visible > 0
    sizes = pck.torso_sizes(people.keypoints, labelled, people.joints, "diagonal")
    count = pck.counted(labelled, sizes)
    if not count.any():
        raise PoseError("No dev person has a labelled torso to calibrate by.")
    once = _estimated(estimator, dev)
    right = pck.within(pck.distances(once, people.keypoints), sizes, 0.2) & count
    known = count | not_in_picture(people)
    weights = joint_weights(known, np.array(people.sources), shares) if shares else None
    curve = fit_calibration(once[..., 2][known].astype(np.float64), right[known], weights=weights)
    spec = replace(spec, calibration=curve, second_look=True)
    twice = _estimated(replace(estimator, spec=spec), dev)
    better = pck.within(pck.distances(twice, people.keypoints), sizes, 0.2)[count].sum() > right.sum()
    save_checkpoint(path, load_tensors(path), replace(spec, second_look=bool(better)))


def joint_weights(
    known: npt.NDArray[np.bool_], sources: npt.NDArray[np.str_], shares: Mapping[str, float]
) -> Array:
    """The weights of the known joints, whose sum in each source is its share. Raises PoseError for other sources."""
    if missing := set(sources) ^ set(shares):
        raise PoseError(
            f"The shares and the dev people have different sources: {', '.join(sorted(missing))}."
        )
    weights = np.zeros(known.shape)
    for source, share in shares.items():
        rows = sources == source
        weights[rows] = share / known[rows].sum()
    return weights[known]


def _estimated(estimator: Estimator, store: PatchStore) -> Array:
    """Keypoints (N, K, 3) of a store's people from their boxes."""
    boxes = [store.people.boxes[i : i + 1] for i in range(len(store))]
    return np.concatenate(estimator.estimate(store.patches, boxes))
