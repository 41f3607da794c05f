"""Well-known networks for `compare --field`, as their papers describe them, with published scores."""

from __future__ import annotations

from dataclasses import dataclass

from posecli.models.checkpoints import ModelSpec
from posecli.skeletons import COCO17, LSP14, MPII16, Skeleton


@dataclass(frozen=True)
class FieldNetwork:
    """One row of the comparison. `score` is the published one. The weights for it are not included."""

    name: str
    spec: ModelSpec
    score: str
    source: str


def _network(
    name: str,
    architecture: str,
    arguments: dict[str, object],
    size: tuple[int, int],
    skeleton: Skeleton,
    score: str,
    source: str,
) -> FieldNetwork:
    spec = ModelSpec(
        architecture,
        {**arguments, "keypoints": len(skeleton.joints)},
        skeleton.name,
        size,
        activation="coordinates" if architecture == "deeppose" else "none",
    )
    return FieldNetwork(name, spec, score, source)


def _hourglass(name: str, stacks: int, block: str, score: str, source: str) -> FieldNetwork:
    arguments = {"stacks": stacks, "features": 256, "block": block}
    return _network(name, "hourglass", arguments, (256, 256), MPII16, score, source)


_TORSO = [LSP14.joints.index("left_shoulder"), LSP14.joints.index("right_hip")]
FIELD = (
    _network(
        "DeepPose, AlexNet, 3 stages", "deeppose", {"torso": _TORSO}, (440, 440), LSP14,
        "LSP PCP 0.61; FLIC PDJ@0.2 elbow 92.3, wrist 82.0", "Toshev 2014",
    ),
    _network("CPM, 6 stages", "cpm", {}, (368, 368), LSP14, "MPII test PCKh 88.5", "Wei 2016"),
    _hourglass("hourglass, 2 stacks", 2, "residual", "MPII val PCKh 88.3", "princeton-vl"),
    _hourglass("hourglass, 8 stacks", 8, "residual", "MPII test PCKh 90.9", "Newell 2016"),
    _hourglass("… with pyramid residuals", 8, "pyramid", "MPII test PCKh 92.0", "Yang 2017"),
    _hourglass("… with gated skips", 8, "gated", "MPII test PCKh 94.1 (another shape)", "Bulat 2020"),
    _network(
        "CPN, ResNet-50", "cpn", {"depth": 50}, (256, 192), COCO17, "COCO val AP 69.2", "pytorch-cpn",
    ),
    _network(
        "CPN, ResNet-101", "cpn", {"depth": 101}, (384, 288), COCO17, "COCO val AP 72.3", "pytorch-cpn",
    ),
    *(
        _network(
            f"Simple Baselines, ResNet-{depth}", "simple_baseline", {"depth": depth}, (256, 192), COCO17,
            f"COCO val AP {ap}", "Xiao 2018",
        )
        for depth, ap in ((50, 70.4), (101, 71.4), (152, 72.0))
    ),
    _network("HRNet-W32", "hrnet", {"width": 32}, (256, 192), COCO17, "COCO val AP 74.4", "Sun 2019"),
    _network("HRNet-W48", "hrnet", {"width": 48}, (256, 192), COCO17, "COCO val AP 75.1", "Sun 2019"),
)  # fmt: skip
