"""The training settings. They contain everything that affects the result, and are saved in the checkpoint."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from posecli.data.augment import Augmentation
from posecli.models.checkpoints import IMAGENET_MEAN, IMAGENET_STD, ModelSpec
from posecli.models.networks import NETWORKS
from posecli.training.losses import Loss

Size = tuple[int, int]  # height, width of a crop in pixels


@dataclass(frozen=True)
class TrainConfig:
    """The settings of a training.

    Lengths are in crops, not in steps or epochs. So they mean the same for every batch size and data set.
    """

    architecture: str = "hourglass"
    arguments: dict[str, Any] = field(default_factory=lambda: {"stacks": 2, "features": 128})
    skeleton: str = "body19"
    sizes: tuple[tuple[Size, int], ...] = (((192, 192), 100_000),)  # resize schedule: (crop size, crops)
    batch: int = 32
    optimizer: Literal["adamw", "muon", "rmsprop", "adagrad"] = "adamw"
    rate: float = 1.4e-3
    stem_rate: float = 1.0  # learning rate of a pretrained stem, as a share of `rate`; 0 freezes it
    schedule: Literal["cosine", "step"] = "cosine"
    drops: tuple[tuple[float, float], ...] = ((0.75, 0.2),)  # for "step": (share of the crops, factor)
    warmup: int = 2000  # crops
    weight_decay: float = 1e-4
    clip: float = 5.0  # maximum norm of the gradient; 0: off
    ema: float = 0.9995  # decay of the moving average of the weights; 0: off
    loss: Loss = "cross-entropy"
    sigma: float = 1.5  # cells
    map_height: float = 1.0  # for "mse": peak of the target Gaussians
    stack_sigmas: tuple[float, ...] = ()  # cells, one sigma per stack; replaces `sigma`
    hard_joints: int = 0  # the last stack learns only from this many joints per person; 0: from all
    supervise: Literal["all", "last"] = "all"
    outside_weight: float = 0.1  # loss weight of joints outside the crop or the photo
    learn_absent: bool = True  # treat joints that COCO's annotators did not find as outside the photo
    weights: tuple[tuple[str, float], ...] = ()  # (source, sampling weight of its people)
    augmentation: Augmentation = field(default_factory=Augmentation)
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    crop_factor: float | tuple[float, float] = 1.2
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    seed: int = 0
    validate_every: int = 10_000  # crops
    patience: int = 0  # stop after so many validations without a better PCK on dev; 0: never

    @property
    def crops(self) -> int:
        return sum(crops for _, crops in self.sizes)

    def size_at(self, crops: int) -> Size:
        """The crop size after `crops` crops."""
        for size, length in self.sizes:
            if crops < length:
                return size
            crops -= length
        return self.sizes[-1][0]

    def spec(self) -> ModelSpec:
        """The model spec for the checkpoint."""
        return ModelSpec(
            architecture=self.architecture,
            arguments=self.arguments,
            skeleton=self.skeleton,
            input_size=self.sizes[-1][0],
            mean=self.mean,
            std=self.std,
            crop_factor=self.crop_factor,
            activation=self._activation(),
            sigma=self.stack_sigmas[-1] if self.stack_sigmas else self.sigma,
            training=self.as_dict(),
        )

    def _activation(self) -> str:
        if not NETWORKS[self.architecture].maps:
            return "coordinates"
        if self.loss == "cross-entropy":
            return "softmax"
        return "none" if self.map_height == 1 else "byte"

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)
