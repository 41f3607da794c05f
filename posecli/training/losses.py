"""Targets and losses on heatmaps (torch, on any device)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from posecli.errors import PoseError

Loss = Literal["cross-entropy", "mse"]


def gaussian_targets(cells: Tensor, size: tuple[int, int], sigma: float) -> Tensor:
    """Gaussians (B, K, h, w) of height 1 at cells (B, K, 2) (x, y; fractions allowed)."""
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
    """(stacks,) sums of the loss of each stack's maps (B, stacks, K, h, w) over all joints.

    inside: (B, K) joints that are in the crop, outside: (B, K) joints known not to be in it. Unlabelled
    joints are in neither and cost nothing. The caller divides by the number of joints.

    cross-entropy: of the softmax over the cells against the Gaussian, normalised; less the Gaussian's
    own entropy, so that 0 is perfect. Those outside ask for the even distribution, which has the
    lowest peak and so the lowest confidence.
    sigma in cells, one or each stack's own. hard_joints: the last stack learns from so many joints of
    each person alone, those with the largest loss (online hard keypoint mining, Chen et al. 2018); 0:
    from all.

    taught: a teacher's probabilities of the cells (B, K, h, w), and its share (B, K) of the target; 0: it says nothing.
    Joints in neither `inside` nor `outside` learn from the teacher alone, with that share as weight. With cross-entropy
    only.

    mse: against the Gaussian, or the empty map for those outside (Newell et al. 2016, section 3.2);
    mean over the cells.
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
    # Joints beside the crop have targets of zero mass; their weight is 0, but 0 * nan is nan.
    each = torch.where(weight[:, None] > 0, each * weight[:, None], each.new_zeros(()))  # (B, stacks, K)
    if 0 < hard_joints < each.shape[2]:
        hardest = each[:, -1].topk(hard_joints, dim=1).values.sum()
        return torch.cat([each[:, :-1].sum(dim=(0, 2)), hardest[None]])
    return each.sum(dim=(0, 2))


def coordinate_losses(found: Tensor, pixels: Tensor, inside: Tensor, size: tuple[int, int]) -> Tensor:
    """(stages,) sums of squared errors of coordinates found (B, stages, K, 2), as shares of the crop from its
    middle, against crop pixels (B, K, 2), over the joints inside the crop (DeepPose, equation 4)."""
    wanted = (pixels + 0.5) / torch.tensor([size[1], size[0]], device=pixels.device) - 0.5
    each = ((found - wanted[:, None]) ** 2).sum(dim=3)  # (B, stages, K)
    return torch.where(inside[:, None], each, each.new_zeros(())).sum(dim=(0, 2))


def flat_share(maps: Tensor, loss: Loss) -> float:
    """The share of maps (B, K, h, w) that are flat: their highest cell says next to nothing.

    A network can answer the empty map everywhere while its mean squared error falls nicely; this is
    how one sees it.
    """
    flat = maps.detach().flatten(2)
    if loss == "cross-entropy":
        peaks = flat.softmax(dim=2).amax(dim=2) * flat.shape[2]  # 1 = even
        return float((peaks < 3).float().mean())
    return float((flat.amax(dim=2) < 0.1).float().mean())
