"""Targets and losses for heatmaps and coordinates, in torch on any device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from posecli.errors import PoseError

Loss = Literal["cross-entropy", "mse"]


def gaussian_targets(cells: Tensor, size: tuple[int, int], sigma: float) -> Tensor:
    """Gaussians (B, K, h, w) with a peak of 1 at `cells` (B, K, 2): x and y, which may be fractions."""
    h, w = size
    y = torch.arange(h, device=cells.device, dtype=cells.dtype)
    x = torch.arange(w, device=cells.device, dtype=cells.dtype)
    across = torch.exp(-0.5 * ((x - cells[..., :1]) / sigma) ** 2)  # (B, K, w)
    down = torch.exp(-0.5 * ((y - cells[..., 1:]) / sigma) ** 2)  # (B, K, h)
    return down[..., :, None] * across[..., None, :]


def stack_losses(
    maps: Tensor,
    cells: Tensor,
    inside: Tensor,
    outside: Tensor,
    *,
    loss: Loss,
    sigma: float | Sequence[float],
    outside_weight: float,
    hard_joints: int = 0,
    taught: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """The loss of each stack (stacks,), summed over all joints. The caller divides by the number of joints.

    maps: (B, stacks, K, h, w) output of the network.
    cells: (B, K, 2) true positions in heatmap cells.
    inside: (B, K) joints inside the crop. outside: (B, K) joints known to be outside it. Unlabelled joints are
    in neither and have no loss.
    sigma: of the Gaussian targets in cells, one for all stacks or one per stack.
    outside_weight: weight of the joints in `outside`.
    hard_joints: the last stack learns only from this many joints per person, those with the largest loss
    (online hard keypoint mining, Chen et al. 2018). 0: from all joints.
    taught: a teacher's probabilities (B, K, h, w), and its share (B, K) of the target. 0 ignores the teacher.
    Unlabelled joints learn only from the teacher, with that share as their weight. Needs cross-entropy.
    Raises PoseError if the number of sigmas does not fit.

    Losses:
    cross-entropy: between the softmax over the cells and the normalised Gaussian. The entropy of the target
    is subtracted, so the minimum is 0. The target of joints in `outside` is the uniform distribution. It has
    the lowest peak and thus the lowest confidence.
    mse: mean squared error over the cells against the Gaussian. The target of joints in `outside` is the empty
    map (Newell et al. 2016, section 3.2).
    """
    if not isinstance(sigma, (int, float)):
        if len(sigma) != maps.shape[1]:
            raise PoseError(f"There are {len(sigma)} sigmas for {maps.shape[1]} sets of maps.")
        stacks = [maps[:, s : s + 1] for s in range(maps.shape[1])]
        return torch.cat(
            [
                stack_losses(
                    stack, cells, inside, outside, loss=loss, sigma=one, outside_weight=outside_weight,
                    hard_joints=hard_joints if s == len(stacks) - 1 else 0, taught=taught,
                )
                for s, (stack, one) in enumerate(zip(stacks, sigma, strict=True))
            ]
        )  # fmt: skip
    target = gaussian_targets(cells, (maps.shape[-2], maps.shape[-1]), sigma)  # (B, K, h, w)
    weight = inside.float() + outside_weight * outside.float()  # (B, K)
    if loss == "mse":
        target = target * inside[..., None, None]
        each = ((maps - target[:, None]) ** 2).mean(dim=(3, 4))  # (B, stacks, K)
    else:
        even = torch.full_like(target[:1, :1], 1.0 / target.shape[-1] / target.shape[-2])
        target = target / target.sum(dim=(2, 3), keepdim=True).clamp_min(1e-12)
        target = torch.where(inside[..., None, None], target, even)
        if taught is not None:
            answer, share = taught
            free = ~inside & ~outside
            target = torch.where(free[..., None, None], answer, target.lerp(answer, share[..., None, None]))
            weight = torch.where(free, share, weight)
        target = target.flatten(2)  # (B, K, h*w)
        entropy = -(target * target.clamp_min(1e-12).log()).sum(dim=2)  # (B, K)
        log_maps = F.log_softmax(maps.flatten(3), dim=3)
        each = -(target[:, None] * log_maps).sum(dim=3) - entropy[:, None]
    # The target of a joint outside the crop can have zero mass. Its weight is 0, but 0 * NaN is NaN.
    each = torch.where(weight[:, None] > 0, each * weight[:, None], each.new_zeros(()))  # (B, stacks, K)
    if 0 < hard_joints < each.shape[2]:
        hardest = each[:, -1].topk(hard_joints, dim=1).values.sum()
        return torch.cat([each[:, :-1].sum(dim=(0, 2)), hardest[None]])
    return each.sum(dim=(0, 2))


def coordinate_losses(found: Tensor, pixels: Tensor, inside: Tensor, size: tuple[int, int]) -> Tensor:
    """Squared errors of each stage (stages,), summed over the joints inside the crop (DeepPose, equation 4).

    found: (B, stages, K, 2) predictions, as shares of the crop relative to its centre.
    pixels: (B, K, 2) true positions in crop pixels. size: (height, width) of the crop.
    """
    wanted = (pixels + 0.5) / torch.tensor([size[1], size[0]], device=pixels.device) - 0.5
    each = ((found - wanted[:, None]) ** 2).sum(dim=3)  # (B, stages, K)
    return torch.where(inside[:, None], each, each.new_zeros(())).sum(dim=(0, 2))


def flat_share(maps: Tensor, loss: Loss) -> float:
    """The share of maps (B, K, h, w) without a clear peak.

    A network can output empty maps everywhere while its mean squared error falls. This share shows that.
    """
    flat = maps.detach().flatten(2)
    if loss == "cross-entropy":
        peaks = flat.softmax(dim=2).amax(dim=2) * flat.shape[2]  # 1 = even
        return float((peaks < 3).float().mean())
    return float((flat.amax(dim=2) < 0.1).float().mean())
