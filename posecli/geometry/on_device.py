"""`crops.cut` and `heatmaps.decode` in torch, for a GPU. Only the frame is sent to it, and only joints come back."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from posecli.geometry.heatmaps import CELL_CENTRE, STRIDE

REACH, RADIUS = 1, 2  # in DARK: cells around the peak for the derivatives, and radius of the smoothing kernel


def cut_crops(frame: Tensor, affines: Tensor, size: tuple[int, int]) -> Tensor:
    """Cut crops (N, 3, H, W) float32, 0 to 255, out of a frame (H', W', 3) uint8 on the same device.

    affines: (N, 2, 3), crop pixels -> frame pixels. size: (H, W). Bilinear. Pixels outside the frame are black.
    """
    high, wide = size
    rows, columns = torch.meshgrid(
        torch.arange(high, device=frame.device, dtype=torch.float32),
        torch.arange(wide, device=frame.device, dtype=torch.float32),
        indexing="ij",
    )
    grid = torch.stack([columns, rows, torch.ones_like(rows)], dim=-1)  # (H, W, 3): x, y, 1 in the crop
    places = torch.einsum("hwk,nck->nhwc", grid, affines.float())  # (N, H, W, 2) in the frame
    last = torch.tensor([frame.shape[1] - 1, frame.shape[0] - 1], device=frame.device).clamp(min=1)
    pictures = frame.permute(2, 0, 1)[None].float().expand(len(affines), -1, -1, -1)
    return functional.grid_sample(
        pictures, 2 * places / last - 1, mode="bilinear", padding_mode="zeros", align_corners=True
    )


def decode_dark(maps: Tensor, sigma: float) -> tuple[Tensor, Tensor]:
    """Decode maps (N, K, h, w) to positions (N, K, 2) in crop pixels and peaks (N, K).

    The same as `heatmaps.decode` with "dark": one Newton step on the log of the smoothed map (Zhang et al., CVPR 2020,
    eq. 3-9). sigma: in cells.
    """
    n, k, h, w = maps.shape
    flat = maps.float().reshape(n * k, h, w)
    peaks, best = flat.reshape(n * k, -1).max(dim=1)
    y, x = best // w, best % w
    offsets = torch.arange(-(REACH + RADIUS), REACH + RADIUS + 1, device=maps.device)
    ys, xs = (y[:, None] + offsets).clamp(0, h - 1), (x[:, None] + offsets).clamp(0, w - 1)
    around = flat[
        torch.arange(n * k, device=maps.device)[:, None, None], ys[:, :, None], xs[:, None, :]
    ].clamp(min=0)
    kernel = torch.exp(-0.5 * (torch.arange(-RADIUS, RADIUS + 1, device=maps.device) / sigma) ** 2)
    kernel = kernel / kernel.sum()
    band = torch.zeros(2 * REACH + 1, len(offsets), device=maps.device)
    for i in range(2 * REACH + 1):
        band[i, i : i + len(kernel)] = kernel
    log = (band @ around @ band.T).clamp(min=1e-10).log()  # (M, 3, 3)
    c = REACH
    gx, gy = 0.5 * (log[:, c, c + 1] - log[:, c, c - 1]), 0.5 * (log[:, c + 1, c] - log[:, c - 1, c])
    gxx = log[:, c, c + 1] - 2 * log[:, c, c] + log[:, c, c - 1]
    gyy = log[:, c + 1, c] - 2 * log[:, c, c] + log[:, c - 1, c]
    gxy = 0.25 * (log[:, c + 1, c + 1] - log[:, c + 1, c - 1] - log[:, c - 1, c + 1] + log[:, c - 1, c - 1])
    det = gxx * gyy - gxy**2
    good = (det > 1e-6) & (gxx < 0)
    det = torch.where(good, det, torch.ones_like(det))
    dx = torch.where(good, -(gyy * gx - gxy * gy) / det, 0.0).clamp(-1.5, 1.5)
    dy = torch.where(good, -(gxx * gy - gxy * gx) / det, 0.0).clamp(-1.5, 1.5)
    cells = torch.stack([x + dx, y + dy], dim=-1).reshape(n, k, 2)
    return cells * STRIDE + CELL_CENTRE, peaks.clamp(min=0).reshape(n, k)
