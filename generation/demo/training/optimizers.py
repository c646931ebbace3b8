"""Muon for many small matrices at once."""

from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import nn


class BatchedMuon(torch.optim.Optimizer):
    """Momentum orthogonalised by Newton-Schulz (Jordan 2024), equal shapes in one batch.

    `torch.optim.Muon` takes each matrix by itself, which on a small model costs more than the
    gradients do. Convolution kernels count as (out, in * height * width) matrices.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        lr: float = 2e-3,
        momentum: float = 0.95,
        weight_decay: float = 0.01,
        iterations: int = 4,
    ) -> None:
        super().__init__(
            parameters,
            {
                "lr": lr,
                "momentum": momentum,
                "weight_decay": weight_decay,
                "iterations": iterations,
            },
        )

    @torch.no_grad()
    def step(self, closure=None) -> None:
        for group in self.param_groups:
            alike = defaultdict(list)
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if "momentum" not in state:
                    state["momentum"] = torch.zeros_like(parameter)
                state["momentum"].lerp_(parameter.grad, 1 - group["momentum"])
                update = parameter.grad.lerp(state["momentum"], group["momentum"]).flatten(1)
                is_tall = update.shape[0] > update.shape[1]
                alike[tuple(sorted(update.shape))].append(
                    (parameter, update.T if is_tall else update, is_tall)
                )
            for shape, members in alike.items():
                updates = _orthogonal(
                    torch.stack([update for _, update, _ in members]), group["iterations"]
                )
                # The root mean square of the update is then about that of AdamW.
                size = group["lr"] * 0.2 * max(shape) ** 0.5
                for (parameter, _, is_tall), update in zip(members, updates, strict=True):
                    parameter.mul_(1 - group["lr"] * group["weight_decay"])
                    update = update.T if is_tall else update
                    parameter.add_(update.reshape(parameter.shape), alpha=-size)


def _orthogonal(matrices: torch.Tensor, iterations: int) -> torch.Tensor:
    """(batch, rows <= columns) matrices with their singular values pushed towards 1.

    bfloat16 is exact enough, the iteration corrects itself, and takes half of the time.
    """
    matrices = (matrices / (matrices.norm(dim=(1, 2), keepdim=True) + 1e-7)).bfloat16()
    for _ in range(iterations):
        square = matrices @ matrices.mT
        mixed = torch.baddbmm(square, square, square, beta=-4.7750, alpha=2.0315)
        matrices = torch.baddbmm(matrices, mixed, matrices, beta=3.4445)
    return matrices.float()


def optimizers_for(
    module: nn.Module, matrix_lr: float = 2e-3, other_lr: float = 1e-3
) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside a network, AdamW for embeddings, ends, norms and biases."""
    at_the_ends = ("embed", "shared", "conv_in", "conv_out", "proj_out")
    matrices, others, biases = [], [], []
    for name, parameter in module.named_parameters():
        if not parameter.requires_grad:
            continue
        if "relative_attention_bias" in name:
            biases.append(parameter)
            continue
        is_inner = parameter.ndim >= 2 and not any(end in name for end in at_the_ends)
        (matrices if is_inner else others).append(parameter)
    return [
        BatchedMuon(matrices, lr=matrix_lr),
        torch.optim.AdamW(
            [
                {"params": others},
                # T5 finds a word's neighbours by these alone, and has far to go from nothing.
                {"params": biases, "lr": 30 * other_lr},
            ],
            lr=other_lr,
            betas=(0.9, 0.98),
            weight_decay=0.0,
        ),
    ]
