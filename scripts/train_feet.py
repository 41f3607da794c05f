"""Teaches a hourglass heels and big toes, and nothing else: only the rows of its last layers that belong to them learn, so that
the other joints stay where they are, to the last digit.

    python scripts/train_feet.py before.safetensors --data people23.npz --crops 9600 --out after.safetensors

people23.npz: what `posecli train --cache` keeps of the file that add_feet.py wrote. before.safetensors: a network of body23.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import torch

from posecli.data.cache import load_pack
from posecli.models.checkpoints import load_model, load_tensors, save_checkpoint
from posecli.skeletons import BODY23, FEET
from posecli.training.batches import Ranks, batches
from posecli.training.config import TrainConfig
from posecli.training.losses import stack_losses

BATCH, RATE, TOLD = 16, 5e-3, 50


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--rows-from", type=Path, help="begin with the feet of this checkpoint")
    parser.add_argument("--crops", type=int, default=9600)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    network, spec = load_model(options.model)  # in evaluation mode: batch-norms stay as they are
    rows = [BODY23.joints.index(joint) for joint in FEET]
    layers = list(network.score)
    if options.rows_from:
        theirs = load_tensors(options.rows_from)
        with torch.no_grad():
            for number, layer in enumerate(layers):
                layer.weight[rows] = theirs[f"score.{number}.weight"][rows]
                layer.bias[rows] = theirs[f"score.{number}.bias"][rows]
    network.requires_grad_(False)
    learning = [layers[-1].weight, layers[-1].bias]
    for parameter in learning:
        parameter.requires_grad_(True)
    store = load_pack(options.data)
    labelled = (store.people.visible[:, rows] > 0).any(axis=1)
    store = store.take(labelled & ~store.people.dev)
    print(f"{len(store)} people with feet", flush=True)
    config = TrainConfig(
        skeleton=BODY23.name,
        sizes=((spec.input_size, options.crops),),
        batch=BATCH,
        crop_factor=spec.crop_factor,
        seed=7,
    )
    config = replace(config, augmentation=config.augmentation.scaled(0.5))
    optimizer = torch.optim.Adam(learning, lr=RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, options.crops // BATCH)
    losses = []
    for step, batch in enumerate(batches(config, store, 0, Ranks(), torch.device("cpu")), 1):
        maps = network(batch.pixels)[:, -1:, rows]
        inside, outside = batch.inside[:, rows], batch.outside[:, rows]
        loss = stack_losses(
            maps,
            batch.cells[:, rows],
            inside,
            outside,
            loss="cross-entropy",
            sigma=config.sigma,
            outside_weight=0.1,
        ).sum() / inside.sum().clamp_min(1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.detach())
        if step % TOLD == 0:
            print(step * BATCH, f"{torch.stack(losses[-TOLD:]).mean():.3f}", flush=True)
    save_checkpoint(options.out, network.state_dict(), spec)


if __name__ == "__main__":
    main()
