"""Averages the weights from before and after a training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from posecli.data.cache import PatchStore
from posecli.models.checkpoints import load_into, load_model, load_tensors, save_checkpoint
from posecli.training.begin import initial_tensors
from posecli.training.calibrate import calibrate
from posecli.training.loop import validate


def average(learned: Path, init: Path, share: float, store: PatchStore, device: torch.device) -> Path:
    """Average `learned` with the given share of `init`. Writes mean.safetensors next to `learned`, returns its path.

    The average keeps most of what the training added, and overfits less (Wortsman et al., "Robust fine-tuning of
    zero-shot models", CVPR 2022). The header has the share, and a new PCK and calibration on the dev people.
    Raises PoseError if `init` does not fit.
    """
    network, spec = load_model(learned)
    before, after = initial_tensors(init, network, spec), load_tensors(learned)
    load_into(network, before, init)  # raises PoseError if `init` is another network
    mean = {name: torch.lerp(tensor, before[name], share) for name, tensor in after.items()}
    load_into(network, mean, learned)
    scores = dict(spec.scores)
    dev = store.take(store.people.dev)
    if len(dev):
        scores["dev"] = validate(network.to(device), spec, dev, device)
    out = learned.with_name("mean.safetensors")
    save_checkpoint(out, mean, replace(spec, training={**spec.training, "init_share": share}, scores=scores))
    if len(dev):
        calibrate(out, store, device)
    return out
