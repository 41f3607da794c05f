"""Training recipes: a default for all networks, and the crops, augmentation, loss and schedule of each paper."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from posecli.data.augment import Augmentation
from posecli.errors import PoseError
from posecli.models.networks import NETWORKS
from posecli.training.config import Size, TrainConfig

DEFAULT_SIZE = (192, 192)

# No augmentation except mirroring. Each paper's recipe adds what the paper names.
_PLAIN = Augmentation(
    rotation=0.0, any_rotation=0.0, zoom=(1.0, 1.0), shift=0.0, mirror=0.5, half_body=0.0, cut_off=0.0,
    colour=0.0, blur=0.0, noise=0.0, cutout=0.0,
)  # fmt: skip


def default_recipe(config: TrainConfig) -> TrainConfig:
    """The same recipe for every network, so that they can be compared.

    It takes from a paper only the settings without which its network does not learn.
    """
    if config.architecture == "cpn":
        return replace(config, stack_sigmas=CPN_SIGMAS, hard_joints=8)
    if config.architecture == "lite_hrnet" or config.arguments.get("stem") == "lite_hrnet":
        return replace(config, crop_factor=1.25)  # as in the pretrained files
    if config.architecture == "cpm":
        # A network without batch norms needs a low learning rate.
        return replace(config, rate=3e-4, sigma=CPM_SIGMA, mean=(0.5, 0.5, 0.5), std=(1.0, 1.0, 1.0))
    return config


def with_muon(config: TrainConfig) -> TrainConfig:
    """Use Muon, with a higher learning rate. The rate was tuned on hourglasses with batches of 16."""
    return replace(config, optimizer="muon", rate=3e-3, weight_decay=0.01)


def paper_recipe(config: TrainConfig) -> TrainConfig:
    """The recipe of the network's paper. Raises PoseError for a network without one."""
    if config.architecture not in _PAPERS:
        raise PoseError(f"There is no paper's recipe for {config.architecture}; leave out --recipe.")
    return _PAPERS[config.architecture](_bare(config))


def _bare(config: TrainConfig) -> TrainConfig:
    """Remove everything that the papers do not have. Joints that annotators did not find are not trained."""
    return replace(
        config, schedule="step", warmup=0, weight_decay=0.0, clip=0.0, ema=0.0, loss="mse",
        outside_weight=0.0, learn_absent=False, augmentation=_PLAIN,
    )  # fmt: skip


def _hourglass(config: TrainConfig) -> TrainConfig:
    """Newell et al. 2016, section 4.1."""
    return replace(
        config,
        optimizer="rmsprop",
        rate=2.5e-4,
        drops=((0.75, 0.2),),  # the paper divides the rate by 5 once, when the validation score stops rising
        sigma=1.0,
        outside_weight=1.0,  # the target of a joint outside the crop is the empty map
        augmentation=replace(_PLAIN, rotation=30.0, zoom=(0.75, 1.25), colour=0.2),
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
    )


def _simple_baseline(config: TrainConfig) -> TrainConfig:
    """Xiao et al. 2018, section 3: 140 epochs with drops at 90 and 120."""
    return replace(
        config,
        rate=1e-3,
        drops=((90 / 140, 0.1), (120 / 140, 0.1)),
        sigma=_sigma_at(config),
        augmentation=replace(_PLAIN, rotation=40.0, zoom=_zoom(0.3)),
        crop_factor=1.25,
    )


def _hrnet(config: TrainConfig) -> TrainConfig:
    """Sun et al. 2019, section 4.1: 210 epochs with drops at 170 and 200."""
    return replace(
        config,
        rate=1e-3,
        drops=((170 / 210, 0.1), (200 / 210, 0.1)),
        sigma=_sigma_at(config),
        augmentation=replace(_PLAIN, rotation=45.0, zoom=_zoom(0.35), half_body=0.3),
        crop_factor=1.25,
    )


def _lite_hrnet(config: TrainConfig) -> TrainConfig:
    """Yu et al. 2021, section 4.1: as HRNet, with a higher learning rate."""
    return replace(
        _hrnet(config),
        rate=2e-3,
        augmentation=replace(_PLAIN, rotation=30.0, zoom=_zoom(0.25), half_body=0.3),
    )


# The published code blurs with kernels of 15, 11, 9 and 7 cells. These are OpenCV's sigmas for them. The coarse
# levels get wide targets.
CPN_SIGMAS = (2.6, 2.0, 1.7, 1.4, 1.4)
CPN_EPOCHS = 32  # in the code that the published weights come from


def _cpn(config: TrainConfig) -> TrainConfig:
    """Chen et al. 2018, section 4.1.

    The learning rate is halved every 6 epochs. Heatmaps have peaks of 255. RefineNet learns from the 8 hardest joints.
    """
    return replace(
        config,
        rate=5e-4,
        drops=tuple((epoch / CPN_EPOCHS, 0.5) for epoch in range(6, CPN_EPOCHS, 6)),
        stack_sigmas=CPN_SIGMAS,
        hard_joints=8,
        map_height=255.0,
        augmentation=replace(_PLAIN, rotation=45.0, zoom=(0.7, 1.35)),
        mean=(122.7717 / 255, 115.9465 / 255, 102.9801 / 255),
        std=(1.0, 1.0, 1.0),
        crop_factor=(1.2, 1.3),  # 10 % of the width and 15 % of the height on each side
    )


def _deeppose(config: TrainConfig) -> TrainConfig:
    """Toshev, Szegedy 2014, section 3: AdaGrad, and crops of the box with random shifts and mirroring."""
    return replace(
        config,
        optimizer="adagrad",
        rate=5e-4,
        drops=(),
        augmentation=replace(_PLAIN, shift=0.1),
    )


CPM_SIGMA = 7 / 4  # cells, that is 7 pixels in crops of 368


def _cpm(config: TrainConfig) -> TrainConfig:
    """Wei et al. 2016 and its published training code: rotation 40, scale 0.7 to 1.3, pixels as x - 1/2.

    AdamW replaces its SGD with momentum. The SGD learning rate only fits a loss summed over the cells.
    """
    return replace(
        config,
        rate=3e-4,
        drops=((1 / 3, 1 / 3), (2 / 3, 1 / 3)),
        sigma=CPM_SIGMA,
        outside_weight=1.0,
        augmentation=replace(_PLAIN, rotation=40.0, zoom=(0.7, 1.3)),
        mean=(0.5, 0.5, 0.5),
        std=(1.0, 1.0, 1.0),
    )


def _zoom(scale: float) -> tuple[float, float]:
    """The zoom range of the person if the crop side varies from 1 - scale to 1 + scale."""
    return 1 / (1 + scale), 1 / (1 - scale)


def _sigma_at(config: TrainConfig) -> float:
    """Sigma in cells: 2 for crops of 256 x 192, 3 for crops of 384 x 288."""
    return 2.0 if config.sizes[-1][0][0] <= 256 else 3.0


_PAPERS: dict[str, Callable[[TrainConfig], TrainConfig]] = {
    "hourglass": _hourglass,
    "simple_baseline": _simple_baseline,
    "hrnet": _hrnet,
    "lite_hrnet": _lite_hrnet,
    "cpn": _cpn,
    "deeppose": _deeppose,
    "cpm": _cpm,
}
RECIPES = {"default": default_recipe, "paper": paper_recipe}


def parse_size(text: str, architecture: str) -> Size:
    """Parse a crop size, height first: '192' -> (192, 192), '256x192' -> (256, 192). Raises PoseError."""
    height, _, width = text.partition("x")
    try:
        size = (int(height), int(width or height))
    except ValueError:
        raise PoseError(
            f"{text!r} is not a size of crops; write SIDE or HEIGHTxWIDTH, such as 192 or 256x192."
        ) from None
    multiple = NETWORKS[architecture].multiple
    if min(size) <= 0 or size[0] % multiple or size[1] % multiple:
        raise PoseError(f"Crops of {text} won't do: for {architecture} sides are multiples of {multiple}.")
    return size


def parse_sizes(text: str, architecture: str) -> tuple[tuple[Size, int], ...]:
    """Parse a resize schedule. Raises PoseError.

    '128:50000,256x192:20000' -> (((128, 128), 50000), ((256, 192), 20000))
    """
    pairs = []
    for part in text.split(","):
        size, _, crops = part.partition(":")
        if not crops.strip().isdecimal() or int(crops) <= 0:
            raise PoseError(
                f"{text!r} is not a resize schedule; write SIZE:CROPS,SIZE:CROPS, such as 128:50000,192:20000."
            )
        pairs.append((parse_size(size, architecture), int(crops)))
    return tuple(pairs)
