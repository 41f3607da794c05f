"""Keeps patches on the GPU and crops them there, so that a fast GPU does not wait for the CPU."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from posecli.types import Array, Image

SHARE = 0.5  # maximum share of the free GPU memory for patches; the network needs the rest


class DevicePatches:
    """Patches of different sizes, stored one after the other in one tensor on a device."""

    def __init__(self, patches: Sequence[Image], device: torch.device) -> None:
        self.pixels = torch.from_numpy(np.concatenate([p.reshape(-1, 3) for p in patches])).to(device)
        heights, widths = (np.array([p.shape[axis] for p in patches]) for axis in (0, 1))
        starts = np.concatenate([[0], np.cumsum(heights * widths)[:-1]])
        self.heights, self.widths, self.starts = (
            torch.from_numpy(a.astype(np.int64)).to(device) for a in (heights, widths, starts)
        )

    @staticmethod
    def fit(patches: Sequence[Image], device: torch.device) -> bool:
        """Whether `device` is a CUDA device with enough memory for the patches."""
        if device.type != "cuda":
            return False
        return sum(p.nbytes for p in patches) <= SHARE * torch.cuda.mem_get_info(device)[0]

    def cut(
        self,
        rows: npt.NDArray[np.integer],
        affines: Array,
        size: tuple[int, int],
        parts: npt.NDArray[np.integer],
    ) -> Tensor:
        """Cut crops (B, H, W, 3) float BGR out of the patches `rows`, like `crops.cut`: bilinear, black outside.

        affines: (B, 2, 3), crop pixels -> patch pixels. size: (H, W). parts: (B, 4) xyxy, the used part of each patch.
        """
        device, (h, w) = self.pixels.device, size
        row = torch.from_numpy(np.asarray(rows, np.int64)).to(device)
        a = torch.from_numpy(np.asarray(affines, np.float32)).to(device)
        part = torch.from_numpy(np.asarray(parts, np.int64)).to(device)
        y, x = torch.meshgrid(
            torch.arange(h, device=device, dtype=torch.float32),
            torch.arange(w, device=device, dtype=torch.float32),
            indexing="ij",
        )
        u = a[:, 0, 0, None, None] * x + a[:, 0, 1, None, None] * y + a[:, 0, 2, None, None]  # (B, H, W)
        v = a[:, 1, 0, None, None] * x + a[:, 1, 1, None, None] * y + a[:, 1, 2, None, None]
        left, top = u.floor(), v.floor()
        out = torch.zeros(*u.shape, 3, device=device)
        for down in (0, 1):
            for right in (0, 1):
                weight = (1 - (u - left - right).abs()) * (1 - (v - top - down).abs())
                out += weight[..., None] * self._at(row, part, left.long() + right, top.long() + down)
        return out

    def _at(self, row: Tensor, part: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """Pixels (B, H, W, 3) at integer positions. Black outside."""
        width, height = self.widths[row, None, None], self.heights[row, None, None]
        x1, y1, x2, y2 = part[:, :, None, None].unbind(1)
        inside = (x >= x1) & (x < x2.minimum(width)) & (y >= y1) & (y < y2.minimum(height))
        place = self.starts[row, None, None] + torch.where(inside, y * width + x, 0)
        return self.pixels[place].float() * inside[..., None]
