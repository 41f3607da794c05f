"""The training loop. After a resume it repeats exactly the same steps."""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from posecli.data.cache import PatchStore
from posecli.engines.estimator import Estimator
from posecli.errors import PoseError
from posecli.files import replacing
from posecli.geometry.heatmaps import cells_to_pixels
from posecli.metrics import pck
from posecli.models.checkpoints import ModelSpec, build, load_into, save_checkpoint
from posecli.skeletons import SKELETONS
from posecli.training.batches import Batch, Ranks, batches
from posecli.training.begin import initial_tensors
from posecli.training.config import Size, TrainConfig
from posecli.training.losses import coordinate_losses, flat_share, stack_losses
from posecli.training.memory import check_memory
from posecli.training.muon import Muon, split
from posecli.training.teacher import Lesson, Teachers

SAVE_SECONDS = 120.0  # seconds between saves of the training state
FLAT = 0.9  # a larger share of flat heatmaps is worth a warning


@dataclass(frozen=True)
class Progress:
    """Progress of a training run, passed to `report` every few steps and after every validation."""

    crops: int  # done so far
    total: int  # crops of the whole training
    loss: float  # mean over the last steps
    rate: float  # learning rate
    crops_per_second: float
    flat: float  # share of flat heatmaps
    size: Size
    precision: str
    scores: dict[str, float] | None = None  # PCK@0.2 on dev by source and by stack, after a validation
    best: float = 0.0  # best PCK@0.2 on dev so far


Report = Callable[[Progress], None]


def train(
    config: TrainConfig,
    store: PatchStore,
    out: Path,
    *,
    device: torch.device,
    init: Path | None = None,
    teachers: Teachers | None = None,
    resume: bool = False,
    report: Report = lambda _: None,
) -> Path:
    """Train on the people of the store that are not in `dev`, and validate on those in `dev`.

    teachers: networks whose heatmaps are training targets in addition to the labels.
    resume: continue from out/state.pt, with exactly the same losses as without the interruption.
    Writes out/last.safetensors, out/best.safetensors (by PCK on dev) and out/state.pt. Returns the path of
    the best checkpoint, or of the last one without a validation.
    Raises PoseError if there is nobody to train on, if the loss is not finite, or if the memory is too small.
    """
    ranks = Ranks.join()
    skeleton = SKELETONS[config.skeleton]
    people = store.people
    learn, dev = store.take(~people.dev), store.take(people.dev)
    if len(learn) < 1 or not (learn.people.visible > 0).any():
        raise PoseError("There is nobody with labelled joints to train on.")
    spec = config.spec()
    spec = replace(spec, arguments={**spec.arguments, "keypoints": len(skeleton.joints)})
    torch.manual_seed(config.seed)
    network = build(spec)
    if init is not None and not resume:
        load_into(network, initial_tensors(init, network, spec), init)
    network = network.to(device).to(memory_format=torch.channels_last)
    if ranks.world > 1 and device.type == "cuda":
        network = nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
    state = _State(network, config)
    if resume:
        state.load(out / "state.pt", device)
    parallel = nn.parallel.DistributedDataParallel(network) if ranks.world > 1 else network
    precision = _choose_precision(config, network, device)
    if device.type == "cuda" and ranks.world == 1 and len(config.sizes) == 1:
        parallel = _captured(network.train(), config, device, precision)
    else:
        check_memory(network, config, device, precision, ranks.world)
    log = _Log(out / "log.jsonl", append=resume) if ranks.rank == 0 else None

    network.train()
    started, saved, shown = time.monotonic(), time.monotonic(), state.crops
    losses: list[Tensor] = []
    for batch in batches(config, learn, state.crops, ranks, device):
        state.set_rate()
        torch.manual_seed(config.seed + state.crops)  # so that dropout is the same after --resume
        with _autocast(device, precision):
            maps = parallel(batch.pixels)
        lesson = teachers.teach(state.steps, batch.pixels) if teachers else None
        loss, per_stack = _loss(maps.float(), batch, config, ranks, lesson)
        state.step(loss)
        losses.append(per_stack[-1])
        now = time.monotonic()
        rate = (state.crops - shown) / max(now - started, 1e-6)
        done = state.crops >= config.crops
        due = done or _crossed(state.crops, config.batch, config.validate_every)
        if device.type == "cuda" and state.steps % 20 and not due:
            continue  # reading the loss would wait for the GPU
        losses = losses[-50:]
        state.check(torch.stack(losses))
        progress = Progress(
            state.crops, config.crops, float(torch.stack(losses).mean()), state.rate, rate,
            _flat(maps, config), batch.size, _name(precision), None, state.best,
        )  # fmt: skip
        if due and len(dev):
            scores = validate(state.averaged, replace(spec, input_size=batch.size), dev, device)
            better = scores["all"] > state.best
            state.note(scores["all"])
            progress = replace(progress, scores=scores, best=state.best)
            if log is not None:
                if better:
                    _save(out / "best.safetensors", state, spec, scores)
                log.write(progress, per_stack)
        elif log is not None and (state.steps % 20 == 0 or done):
            log.write(progress, per_stack)
        report(progress)
        stop = done or (config.patience > 0 and state.stale >= config.patience)
        if ranks.rank == 0 and (now - saved > SAVE_SECONDS or due or stop):
            state.save(out / "state.pt")
            _save(out / "last.safetensors", state, spec, progress.scores or {})
            saved = now
        if stop:
            break
    best = out / "best.safetensors"
    return best if best.exists() else out / "last.safetensors"


def validate(
    network: nn.Module, spec: ModelSpec, store: PatchStore, device: torch.device
) -> dict[str, float]:
    """PCK@0.2 (`diagonal`) on the people of a store, with the labelled boxes and without flip test.

    Keys: `all`, each source, and every stack (`stack 1` …).
    """
    network.eval()
    estimator = Estimator(network, spec, device, batch_size=32)
    people = store.people
    boxes = [people.boxes[i : i + 1] for i in range(len(store))]
    crops, affines = estimator.crops(store.patches, boxes)
    by_stack: list[list[Any]] = []
    for start in range(0, len(crops), estimator.batch_size):
        part = slice(start, start + estimator.batch_size)
        maps = estimator.maps(crops[part])
        by_stack.append([estimator.decode(maps[:, s], affines[part]) for s in range(maps.shape[1])])
    network.train()
    labelled = people.visible > 0
    sizes = pck.torso_sizes(people.keypoints, labelled, people.joints, "diagonal")
    count = pck.counted(labelled, sizes)
    scores: dict[str, float] = {}
    names = estimator.stack_names(len(by_stack[0]))
    for s in range(len(by_stack[0])):
        found = np.concatenate([b[s] for b in by_stack])
        right = pck.within(pck.distances(found, people.keypoints), sizes, 0.2)
        scores[names[s]] = pck.pooled(right, count) or 0.0
    for source in sorted(set(people.sources)):
        rows = np.array([x == source for x in people.sources])
        scores[source] = pck.pooled(right[rows], count[rows]) or 0.0
    scores["all"] = pck.pooled(right, count) or 0.0
    return scores


# ---------------------------------------------------------------- steps


def _flat(maps: Tensor, config: TrainConfig) -> float:
    return flat_share(maps[:, -1].float(), config.loss) if config.spec().has_maps else 0.0


def _loss(
    maps: Tensor, batch: Batch, config: TrainConfig, ranks: Ranks, lesson: Lesson | None = None
) -> tuple[Tensor, Tensor]:
    """Returns (loss to minimise, mean loss per joint of each stack (stacks,))."""
    if not config.spec().has_maps:
        sums = coordinate_losses(maps, cells_to_pixels(batch.cells), batch.inside, batch.size)
    else:
        sums = stack_losses(
            maps / config.map_height, batch.cells, batch.inside, batch.outside,
            loss=config.loss, sigma=config.stack_sigmas or config.sigma, outside_weight=config.outside_weight,
            hard_joints=config.hard_joints, taught=(lesson.maps, lesson.share(batch)) if lesson else None,
        )  # fmt: skip
    joints = batch.inside.sum().float()
    if ranks.world > 1:
        # Gradients are averaged over the processes. Divide by the mean number of joints, so that the result
        # is the gradient of the mean over the joints of all processes.
        dist.all_reduce(joints)
        joints = joints / ranks.world
    per_stack = sums / joints.clamp_min(1)
    chosen = per_stack if config.supervise == "all" else per_stack[-1:]
    return chosen.sum(), per_stack.detach()


class _State:
    """Everything that changes during training: weights, averaged weights, optimizer, counters."""

    def __init__(self, network: nn.Module, config: TrainConfig) -> None:
        self.config, self.network = config, network
        self.averaged = copy.deepcopy(network).eval().requires_grad_(False)
        groups = _groups(network, config)
        self.optimizer: torch.optim.Optimizer
        if config.optimizer == "rmsprop":
            self.optimizer = torch.optim.RMSprop(groups, lr=config.rate)
        elif config.optimizer == "adagrad":
            self.optimizer = torch.optim.Adagrad(groups, lr=config.rate)
        elif config.optimizer == "muon":
            kernels = {id(p) for p in split(network, self._outputs())[0]}
            kernels -= {id(p) for group in groups if group["share"] != 1 for p in group["params"]}
            matrices = {"params": [p for p in network.parameters() if id(p) in kernels], "share": 1.0}
            for group in groups:
                group["params"] = [p for p in group["params"] if id(p) not in kernels]
            self.optimizer = Muon({**matrices, "weight_decay": config.weight_decay}, groups, lr=config.rate)
        else:
            self.optimizer = torch.optim.AdamW(groups, lr=config.rate)
        self.crops = self.steps = self.stale = 0
        self.best = self.rate = 0.0

    def _outputs(self) -> int:
        """Number of values or heatmaps in the output of the last layers."""
        joints = len(SKELETONS[self.config.skeleton].joints)
        return joints if self.config.spec().has_maps else 2 * joints

    def set_rate(self) -> None:
        self.rate = self.config.rate * rate_share(self.config, self.crops)
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate * group["share"]

    def check(self, losses: Tensor) -> None:
        """Raise PoseError if a loss is NaN or infinite."""
        wrong = losses[~losses.isfinite()]
        if len(wrong):
            raise PoseError(
                f"The loss is {float(wrong[0])} after {self.crops} crops; begin again from the last checkpoint "
                f"with a lower --rate."
            )

    def step(self, loss: Tensor) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if self.config.clip:
            nn.utils.clip_grad_norm_(self.network.parameters(), self.config.clip)
        self.optimizer.step()
        self._follow()
        self.crops += self.config.batch
        self.steps += 1

    @torch.no_grad()
    def _follow(self) -> None:
        """Update the exponential moving average of the weights.

        torch's AveragedModel would be slower: it waits for the GPU to count its steps.
        """
        # The average follows quickly at first. Otherwise the first validations would see almost random weights.
        decay = min(self.config.ema, (1 + self.steps) / (10 + self.steps)) if self.config.ema else 0.0
        share = 1 - decay if self.steps else 1.0
        torch._foreach_lerp_([*self.averaged.parameters()], [*self.network.parameters()], share)
        if buffers := [*self.averaged.buffers()]:
            torch._foreach_copy_(buffers, [*self.network.buffers()])

    def note(self, score: float) -> None:
        """Store the score of a validation, and count validations without improvement."""
        self.stale = 0 if score > self.best else self.stale + 1
        self.best = max(self.best, score)

    def save(self, path: Path) -> None:
        state = {
            "network": self.network.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "counters": {k: getattr(self, k) for k in ("crops", "steps", "stale", "best")},
        }
        with replacing(path) as part:
            torch.save(state, part)

    def load(self, path: Path, device: torch.device) -> None:
        if not path.is_file():
            raise PoseError(f"There is no {path} to resume from; leave out --resume to start.")
        saved = torch.load(path, map_location=device, weights_only=True)
        try:
            self.network.load_state_dict(saved["network"])
            self.averaged.load_state_dict(saved["averaged"])
            self.optimizer.load_state_dict(saved["optimizer"])
        except (RuntimeError, ValueError) as error:
            raise PoseError(
                f"{path} is of another network; resume with the options it began with."
            ) from error
        for name, value in saved["counters"].items():
            setattr(self, name, value)


def _groups(network: nn.Module, config: TrainConfig) -> list[dict[str, Any]]:
    """Parameter groups for the optimizer. Weight decay applies to matrices but not to vectors.

    The parameters of a pretrained stem are in their own groups. `share` is their share of the learning rate.
    """
    stem = getattr(network, "stem", None)
    if stem is not None and not config.stem_rate:
        stem.requires_grad_(False)
    slow = set() if stem is None else {id(p) for p in stem.parameters()}
    learning = [p for p in network.parameters() if p.requires_grad]
    groups = []
    for in_stem, matrix in ((False, True), (False, False), (True, True), (True, False)):
        params = [p for p in learning if (id(p) in slow, p.ndim > 1) == (in_stem, matrix)]
        decay, share = config.weight_decay * matrix, config.stem_rate if in_stem else 1.0
        groups.append({"params": params, "weight_decay": decay, "share": share})
    return [group for group in groups if group["params"]]


def rate_share(config: TrainConfig, crops: int) -> float:
    """The learning rate as a share of its peak after `crops` crops."""
    done = crops / config.crops
    if config.schedule == "step":
        return math.prod(factor for share, factor in config.drops if done >= share)
    warmup = min(config.warmup, 0.1 * config.crops)
    if crops < warmup:
        return max(crops, config.batch) / warmup
    done = (crops - warmup) / max(config.crops - warmup, 1)
    return 0.5 * (1 + math.cos(math.pi * done)) + 1e-3


def _choose_precision(config: TrainConfig, network: nn.Module, device: torch.device) -> torch.dtype | None:
    """The dtype for autocast, or None. On a CPU, `auto` times a step in bfloat16 and in float32."""
    fixed = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}
    if config.precision != "auto":
        return fixed[config.precision]
    if device.type == "cuda":
        return torch.bfloat16
    pixels = torch.zeros(4, 3, *config.sizes[0][0], device=device).contiguous(
        memory_format=torch.channels_last
    )
    probe = copy.deepcopy(network).train()

    def seconds(enabled: bool) -> float:
        start = time.perf_counter()
        with torch.autocast(device.type, torch.bfloat16, enabled=enabled):
            maps = probe(pixels)
        maps.float().square().mean().backward()
        return time.perf_counter() - start

    plain = min(seconds(False) for _ in range(3))
    for _ in range(3):
        took = seconds(True)
        if took > 3 * plain:  # the CPU only emulates bfloat16
            return None
        if took < 0.9 * plain:
            return torch.bfloat16
    return None


def _autocast(device: torch.device, precision: torch.dtype | None) -> torch.autocast:
    # Cached casts of the weights do not survive between replays of a CUDA graph.
    cached = device.type != "cuda"
    return torch.autocast(
        device.type, precision or torch.bfloat16, enabled=precision is not None, cache_enabled=cached
    )


def _captured(
    network: nn.Module, config: TrainConfig, device: torch.device, precision: torch.dtype | None
) -> nn.Module:
    """Capture the forward and backward passes as CUDA graphs.

    Without this, Python is too slow to launch the kernels of a network with many small layers.
    Raises PoseError if the batch does not fit into the GPU memory.
    """
    pixels = torch.randn(config.batch, 3, *config.sizes[0][0], device=device)
    try:
        with _autocast(device, precision):
            return torch.cuda.make_graphed_callables(  # type: ignore[return-value]
                network, (pixels.contiguous(memory_format=torch.channels_last),), allow_unused_input=True
            )
    except torch.OutOfMemoryError as error:
        raise PoseError(
            f"A batch of {config.batch} crops does not fit into the GPU's memory; choose a smaller --batch."
        ) from error


def _name(precision: torch.dtype | None) -> str:
    return "float32" if precision is None else str(precision).removeprefix("torch.")


def _crossed(crops: int, step: int, every: int) -> bool:
    return crops // every != (crops - step) // every


def _save(path: Path, state: _State, spec: ModelSpec, scores: dict[str, float]) -> None:
    spec = replace(spec, input_size=state.config.size_at(state.crops - 1))
    tensors = (state.averaged if state.config.ema else state.network).state_dict()
    save_checkpoint(path, tensors, replace(spec, scores={"dev": scores, "crops": state.crops}))


class _Log:
    """Writes one JSON line every few steps and after each validation."""

    def __init__(self, path: Path, append: bool) -> None:
        self.file = path.open("a" if append else "w", encoding="utf-8")

    def write(self, progress: Progress, per_stack: Tensor) -> None:
        line = {
            "crops": progress.crops,
            "loss": [round(float(v), 5) for v in per_stack],
            "rate": progress.rate,
            "flat": round(progress.flat, 4),
            "size": progress.size,
            "crops_per_second": round(progress.crops_per_second, 2),
        }
        if progress.scores is not None:
            line["pck"] = {k: round(v, 5) for k, v in progress.scores.items()}
        self.file.write(json.dumps(line) + "\n")
        self.file.flush()
