"""Teaches an hourglass heels and big toes. They get layers of their own, and only these layers learn. The other joints keep
their places, to the last digit.

    python scripts/train_feet.py before.safetensors --data people/feet23.json --crops 24000 --out after.safetensors

feet23.json: what add_feet.py wrote. before.safetensors: a stacked hourglass of body23. One of twenty photos is kept back. The
score is the share of its heels and toes within 0.1 and 0.2 of the shank from the teacher's.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from posecli.data.cache import PatchStore, cut_patches
from posecli.data.people import in_skeleton
from posecli.data.read import read_people
from posecli.engines.backends import OpenVinoNetwork
from posecli.engines.estimator import Estimator
from posecli.files import sha256
from posecli.models.checkpoints import ModelSpec, build, load_into, load_tensors, read_spec, save_checkpoint
from posecli.models.hourglass import StackedHourglass, feet_input
from posecli.models.unshuffled import unshuffled
from posecli.skeletons import BODY23, FEET
from posecli.training.batches import Batch, Ranks, batches
from posecli.training.config import TrainConfig
from posecli.training.losses import stack_losses

TOLD = 2400  # crops between two lines of the log
# Cells, of the targets. Half of the other joints': heel and toe are three to five cells apart, and wider targets that may
# lie on either side of the ankle have their peak between them, on the ankle.
SIGMA = 0.8
# Heel and toe are learned this much further from the ankle than the teacher puts them. The teacher's feet are short, and where
# the network doubts which way a foot points, it puts both near the ankle. Chosen on the 90 placed feet in clips.
STRETCH = 1.2
HELD_BACK = 20  # one of so many photos
Ask = Callable[[Tensor], Tensor]
ANKLES = [BODY23.joints.index(f"{joint.partition('_')[0]}_ankle") for joint in FEET]
ROWS = [BODY23.joints.index(joint) for joint in FEET]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--crops", type=int, default=24000)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--distort", type=float, default=0.7)
    parser.add_argument("--stretch", type=float, default=STRETCH)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    network, spec = with_feet(options.model)
    feet, seen = network.feet, quick(network, spec, options.model)
    learned, held = people_with_feet(options.data)
    print(f"{len(learned)} people to learn from, {len(held)} held back", flush=True)
    config = TrainConfig(
        arguments=spec.arguments,
        skeleton=BODY23.name,
        sizes=((spec.input_size, options.crops),),
        batch=options.batch,
        crop_factor=spec.crop_factor,
        seed=options.seed,
    )
    config = replace(config, augmentation=config.augmentation.scaled(options.distort))
    optimizer = torch.optim.AdamW(feet.parameters(), lr=options.rate, weight_decay=1e-3)
    steps = options.crops // options.batch
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, options.rate, steps, pct_start=0.1)
    losses: list[Tensor] = []
    estimator = Estimator(FeetAlone(seen, feet), spec, torch.device("cpu"))
    for step, batch in enumerate(batches(config, learned, 0, Ranks(), torch.device("cpu")), 1):
        feet.train()
        loss = loss_of(feet(seen(batch.pixels)), batch, config, options.stretch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.detach())
        if step % (TOLD // options.batch) == 0 or step == steps:
            feet.eval()
            told = torch.stack(losses[-TOLD // options.batch :]).mean()
            print(step * options.batch, f"loss {told:.3f}", *scores(estimator, held), flush=True)
            save_checkpoint(options.out, network.state_dict(), spec)
        if step == steps:
            break


def with_feet(path: Path) -> tuple[StackedHourglass, ModelSpec]:
    """The network with layers for feet, and its spec."""
    spec = read_spec(path)
    spec = replace(spec, arguments={**spec.arguments, "feet": len(FEET)})
    network = build(spec)
    assert isinstance(network, StackedHourglass)
    state = network.state_dict()
    fresh = {
        n: t for n, t in state.items() if n.startswith("feet.") and not n.endswith("num_batches_tracked")
    }
    load_into(network, {**fresh, **load_tensors(path)}, path)
    return network.eval(), spec


def quick(network: StackedHourglass, spec: ModelSpec, path: Path) -> Ask:
    """What the layers of the feet read. Nothing of it learns, so OpenVINO runs it."""

    class Ends(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = unshuffled(network)

        def forward(self, crops: Tensor) -> Tensor:
            return feet_input(*self.network.stacked(crops))

    example = np.zeros((2, 3, *spec.input_size), np.float32)
    runner = OpenVinoNetwork.of(lambda: Ends().eval(), example, f"feet2-{sha256(path)}")
    return lambda crops: torch.from_numpy(runner(crops.numpy()))


class FeetAlone(nn.Module):
    """Heatmaps of the feet; those of the other joints are empty."""

    def __init__(self, seen: Ask, feet: nn.Module) -> None:
        super().__init__()
        self.seen, self.feet = seen, feet

    def forward(self, crops: Tensor) -> Tensor:
        feet = self.feet(self.seen(crops.contiguous()))
        return F.pad(feet, (0, 0, 0, 0, len(BODY23.joints) - len(FEET), 0))[:, None]


def people_with_feet(path: Path) -> tuple[PatchStore, PatchStore]:
    """Those to learn from, and those held back to score by. People of `dev` are left out."""
    people = in_skeleton(read_people(f"coco:{path}"), BODY23)
    people = people.take((people.visible[:, ROWS] > 0).any(axis=1) & ~people.dev)
    held = people.image_ids % HELD_BACK == 0
    return cut_patches(people.take(~held), 256), cut_patches(people.take(held), 256)


def loss_of(maps: Tensor, batch: Batch, config: TrainConfig, stretch: float) -> Tensor:
    """Cross-entropy of the heatmaps of the feet (B, 4, h, w)."""
    ankles = batch.cells[:, ANKLES]
    cells = ankles + stretch * (batch.cells[:, ROWS] - ankles)
    size = torch.tensor([maps.shape[3], maps.shape[2]])
    inside = batch.inside[:, ROWS] & batch.inside[:, ANKLES] & (cells >= 0).all(2) & (cells < size).all(2)
    losses = stack_losses(
        maps[:, None],
        cells,
        inside,
        batch.outside[:, ROWS],
        loss="cross-entropy",
        sigma=SIGMA,
        outside_weight=config.outside_weight,
    )
    return losses.sum() / inside.sum().clamp_min(1)


def scores(estimator: Estimator, store: PatchStore) -> list[str]:
    """Shares in per cent of heels and of toes within 0.1 and 0.2 of the shank."""
    boxes = [store.people.boxes[i : i + 1] for i in range(len(store))]
    found = np.concatenate(estimator.estimate(store.patches, boxes))[..., :2]
    truth, labelled = store.people.keypoints, store.people.visible > 0
    told = []
    for part in ("heel", "big_toe"):
        away = []
        for side in ("left", "right"):
            knee, ankle, k = (BODY23.joints.index(f"{side}_{joint}") for joint in ("knee", "ankle", part))
            known = labelled[:, [knee, ankle, k]].all(axis=1)
            shank = np.linalg.norm(truth[known, knee] - truth[known, ankle], axis=1)
            away.append(np.linalg.norm(found[known, k] - truth[known, k], axis=1) / np.maximum(shank, 1))
        away_all = np.concatenate(away)
        told += [f"{part} {100 * np.mean(away_all <= near):.1f}" for near in (0.1, 0.2)]
    return told


if __name__ == "__main__":
    main()
