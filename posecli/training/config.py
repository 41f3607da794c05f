"""How a network is trained: everything that decides the result, in one value that is saved."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from posecli.data import augment
from posecli.data.augment import Augmentation
from posecli.errors import PoseError
from posecli.models.checkpoints import IMAGENET_MEAN, IMAGENET_STD, ModelSpec
from posecli.models.hourglass import MULTIPLE
from posecli.training.losses import Loss


@dataclass(frozen=True)
class TrainConfig:
    """A training. Lengths are in crops (pictures of one person shown), so that they mean the same for
    every batch size and data set."""

    architecture: str = "hourglass"
    arguments: dict[str, Any] = field(default_factory=lambda: {"stacks": 2, "features": 128})
    skeleton: str = "body19"
    sizes: tuple[tuple[int, int], ...] = ((192, 100_000),)  # (crop side in pixels, crops) in turn
    batch: int = 32
    optimizer: Literal["adamw", "rmsprop"] = "adamw"
    rate: float = 1.4e-3
    schedule: Literal["cosine", "one-cycle", "step"] = "cosine"
    warmup: int = 2000  # crops
    weight_decay: float = 1e-4
    clip: float = 5.0  # norm of the gradient; 0 = off
    ema: float = 0.9995  # 0 = off
    loss: Loss = "cross-entropy"
    sigma: float = 1.5  # cells
    stack_sigmas: tuple[float, ...] = ()  # cells; each stack's own instead
    hard_joints: int = 0  # the last stack learns from so many of a person's joints; 0: from all
    supervise: Literal["all", "last"] = "all"
    outside_weight: float = 0.1  # of joints that the crop cuts off, or the photo
    learn_absent: bool = True  # that joints which COCO's annotators did not find are in the photo nowhere
    weights: tuple[tuple[str, float], ...] = ()  # (source, how often its people are shown)
    augmentation: Augmentation = field(default_factory=Augmentation)
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    crop_factor: float = 1.2
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    seed: int = 0
    validate_every: int = 10_000  # crops
    patience: int = 0  # validations without a better dev PCK before it stops; 0 = never

    @property
    def crops(self) -> int:
        return sum(crops for _, crops in self.sizes)

    def size_at(self, crops: int) -> int:
        """The crop side in pixels after `crops` crops."""
        for side, length in self.sizes:
            if crops < length:
                return side
            crops -= length
        return self.sizes[-1][0]

    def spec(self) -> ModelSpec:
        """What the checkpoint will say about its network."""
        side = self.sizes[-1][0]
        return ModelSpec(
            architecture=self.architecture,
            arguments=self.arguments,
            skeleton=self.skeleton,
            input_size=(side, side),
            mean=self.mean,
            std=self.std,
            crop_factor=self.crop_factor,
            activation="coordinates"
            if self.architecture == "deeppose"
            else ("softmax" if self.loss == "cross-entropy" else "none"),
            sigma=self.sigma,
            training=self.as_dict(),
        )

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def paper_recipe(config: TrainConfig) -> TrainConfig:
    """Newell et al. 2016, section 4.1: RMSprop 2.5e-4 dropped once by 5, MSE, sigma 1, 256 px."""
    return replace(
        config,
        optimizer="rmsprop",
        rate=2.5e-4,
        schedule="step",
        warmup=0,
        weight_decay=0.0,
        clip=0.0,
        ema=0.0,
        loss="mse",
        sigma=1.0,
        outside_weight=1.0,
        learn_absent=False,
        augmentation=augment.PAPER,
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
    )


def own_losses(config: TrainConfig) -> TrainConfig:
    """What a network's paper says about its loss, where it says more than a map per joint."""
    if config.architecture == "cpn":
        # Chen et al. 2018: wide targets for the coarse levels, the 8 hardest joints for RefineNet. OpenCV's
        # sigmas of the published kernels of 15, 11, 9 and 7 cells.
        return replace(config, stack_sigmas=(2.6, 2.0, 1.7, 1.4, 1.4), hard_joints=8)
    if config.architecture == "cpm":
        # Wei et al. 2016: Gaussians of 7 pixels in crops of 368; pictures as x - 1/2. Without batch-norms
        # it stands no higher rate.
        return replace(config, rate=3e-4, sigma=7 / 4, mean=(0.5, 0.5, 0.5), std=(1.0, 1.0, 1.0))
    return config


RECIPES = {"default": lambda config: config, "paper": paper_recipe}


def parse_sizes(text: str) -> tuple[tuple[int, int], ...]:
    """'128:50000,192:20000' -> ((128, 50000), (192, 20000)); raises PoseError."""
    try:
        pairs = tuple((int(a), int(b)) for a, b in (part.split(":") for part in text.split(",")))
    except ValueError:
        raise PoseError(
            f"{text!r} is not a resize schedule; write SIDE:CROPS,SIDE:CROPS, such as 128:50000,192:20000."
        ) from None
    for side, crops in pairs:
        if side % MULTIPLE or side <= 0 or crops <= 0:
            raise PoseError(f"{side}:{crops} won't do: sides are multiples of {MULTIPLE}, crops more than 0.")
    return pairs
