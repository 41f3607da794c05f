"""The Muon optimizer: momentum with orthogonalised steps, which change a weight matrix equally in all directions.

Source: Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024. The step size follows
equation 4 of Liu et al., "Muon is Scalable for LLM Training", arXiv 2502.16982. With it, the learning rates of
AdamW fit.

torch's Muon only accepts matrices. Here a convolution kernel (out, in, h, w) is treated as a matrix
(out, in * h * w). AdamW updates all other parameters: biases, batch norms, the first convolution and the output
layers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

MOMENTUM = 0.95
BETAS = (0.9, 0.999)  # for AdamW
QUINTIC = (3.4445, -4.7750, 2.0315)  # Jordan et al.: moves singular values from (0, 1] to about 1
ITERATIONS = 5


class Muon(torch.optim.Optimizer):
    """Muon for matrices and AdamW for other parameters, both with decoupled weight decay.

    matrices: the parameter group of the kernels for Muon. others: parameter groups for AdamW, in the format of
    torch's optimizers. Each group has its own `weight_decay`.
    """

    def __init__(self, matrices: dict[str, Any], others: Iterable[dict[str, Any]], lr: float):
        groups = [{**matrices, "matrices": True}, *({**group, "matrices": False} for group in others)]
        super().__init__([g for g in groups if g["params"]], {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            learning = [p for p in group["params"] if p.grad is not None]
            if group["matrices"]:
                self._step_matrices(learning, group)
            else:
                self._step_others(learning, group)
        return loss

    def _step_matrices(self, learning: list[Tensor], group: dict[str, Any]) -> None:
        by_shape: dict[torch.Size, list[Tensor]] = {}
        for p in learning:
            by_shape.setdefault(p.flatten(1).shape, []).append(p)
        for shape, same in by_shape.items():
            ahead = []
            for p in same:
                assert p.grad is not None
                state = self.state[p]
                if not state:
                    state["momentum"] = torch.zeros_like(p)
                momentum = state["momentum"]
                momentum.lerp_(p.grad, 1 - MOMENTUM)
                ahead.append(torch.lerp(p.grad, momentum, MOMENTUM).flatten(1))  # Nesterov momentum
            steps = orthogonal(torch.stack(ahead)) * (0.2 * max(shape) ** 0.5)
            for p, step in zip(same, steps, strict=True):
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.sub_(step.view(p.shape), alpha=group["lr"])

    def _step_others(self, learning: list[Tensor], group: dict[str, Any]) -> None:
        for p in learning:
            assert p.grad is not None
            state = self.state[p]
            if not state:
                state.update(steps=torch.zeros(()), mean=torch.zeros_like(p), square=torch.zeros_like(p))
            state["steps"] += 1
            state["mean"].lerp_(p.grad, 1 - BETAS[0])
            state["square"].lerp_(p.grad.square(), 1 - BETAS[1])
            mean, square = (
                state[name] / (1 - beta ** float(state["steps"]))
                for name, beta in zip(("mean", "square"), BETAS, strict=True)
            )
            p.mul_(1 - group["lr"] * group["weight_decay"])
            p.addcdiv_(mean, square.sqrt() + 1e-8, value=-group["lr"])


def orthogonal(matrices: Tensor) -> Tensor:
    """Orthogonalise matrices (N, rows, columns): move their singular values close to 1 (about 0.7 to 1.2).

    This is the Newton-Schulz iteration X <- (a + b X X' + c (X X')^2) X. All factors are polynomials of the first
    X X'. They are multiplied with each other first, because X X' is smaller than X. X is multiplied only once.
    """
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.transpose(1, 2) if tall else matrices
    x = x / (torch.linalg.matrix_norm(x, keepdim=True) + 1e-12)
    a, b, c = QUINTIC
    gram = x @ x.transpose(1, 2)
    eye = torch.eye(gram.shape[1], device=x.device, dtype=x.dtype).expand_as(gram)
    product = eye
    for _ in range(ITERATIONS):
        factor = a * eye + b * gram + c * (gram @ gram)
        product = factor @ product
        gram = factor @ gram @ factor
    turned: Tensor = product @ x
    return turned.transpose(1, 2) if tall else turned


def split(network: nn.Module, outputs: int) -> tuple[list[Tensor], list[Tensor]]:
    """Split the parameters of a network into (matrices, others).

    matrices: the kernels between hidden layers. others: the rest, with the first layer and the layers that have
    `outputs` outputs.
    """
    kernels = {
        id(m.weight)
        for m in network.modules()
        if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear))
        and min(m.weight.shape[:2]) > 3
        and m.weight.shape[0] != outputs
    }
    matrices: list[Tensor] = [p for p in network.parameters() if id(p) in kernels]
    return matrices, [p for p in network.parameters() if id(p) not in kernels]
