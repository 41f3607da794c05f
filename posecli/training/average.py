"""The mean of the weights that a training began from and of those that it ended with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from posecli.data.cache import PatchStore
from posecli.models.checkpoints import load_into, load_model, load_tensors, save_checkpoint
from posecli.training.begin import first_tensors
from posecli.training.calibrate import calibrate
from posecli.training.loop import validate


def average(learned: Path, init: Path, share: float, store: PatchStore, device: torch.device) -> Path:
    """Write `learned` with so much of `init` in each number, as mean.safetensors beside it, and return its path.

    What a longer training adds, with less of what it learned by heart (Wortsman et al., "Robust fine-tuning of
    zero-shot models", CVPR 2022). Its header has the share, and its own PCK and calibration of the store's dev people.
    """
    network, spec = load_model(learned)
    before, after = first_tensors(init, network, spec), load_tensors(learned)
    load_into(network, before, init)  # raises where it is another network
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
