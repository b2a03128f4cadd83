"""AdamW, one step at a time: torch's own arithmetic without `torch.optim.Optimizer`.

The class of torch imports its compiler when it is first used, which costs a process seconds and serves nothing here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.optim.adamw import adamw

from flows.tensor_file import under
from market.array_file import Arrays

# Decay of the two moments, and what keeps a division finite: the defaults of the paper and of torch.
_BETAS = (0.9, 0.999)
_EPSILON = 1e-8
_STATE = ("step", "exp_avg", "exp_avg_sq")


class AdamW:
    """Adam with decoupled weight decay (Loshchilov and Hutter, arXiv:1711.05101), as `torch.optim.AdamW` computes it.

    Parameters
    ----------
    groups
        Parameters and the weight decay of each group; all on one device.
    fused
        Whether to use torch's fused kernel, which exists for processors and NVIDIA cards.
    """

    def __init__(self, groups: Iterable[tuple[Iterable[Tensor], float]], *, fused: bool) -> None:
        self.groups = [(list(parameters), decay) for parameters, decay in groups]
        self.fused = fused
        # Of each parameter that has had a gradient, by its number: steps so far and both moments.
        self.state: dict[int, dict[str, Tensor]] = {}

    @property
    def parameters(self) -> list[Tensor]:
        """All parameters, in order; a parameter's place is its number."""
        return [parameter for parameters, _ in self.groups for parameter in parameters]

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for parameter in self.parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self, lr: float) -> None:
        """Change parameters in place by their gradients, at a learning rate; those without a gradient stay."""
        first = 0
        for parameters, decay in self.groups:
            moved = [number for number, p in enumerate(parameters, first) if p.grad is not None]
            state = [self._state(number, parameters[number - first]) for number in moved]
            chosen = [parameters[number - first] for number in moved]
            first += len(parameters)
            adamw(
                chosen,
                [p.grad for p in chosen if p.grad is not None],
                [one["exp_avg"] for one in state],
                [one["exp_avg_sq"] for one in state],
                [],
                [one["step"] for one in state],
                foreach=False,
                fused=self.fused,
                amsgrad=False,
                beta1=_BETAS[0],
                beta2=_BETAS[1],
                lr=lr,
                weight_decay=decay,
                eps=_EPSILON,
                maximize=False,
            )

    def arrays(self) -> Arrays:
        """Return what is remembered of each parameter as arrays, for `restore`."""
        return {
            f"optimiser/{number}/{name}": value.cpu().numpy()
            for number, state in self.state.items()
            for name, value in state.items()
        }

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take back what `arrays` gave."""
        parameters = self.parameters
        self.state = {}
        for key, value in under(arrays, "optimiser/").items():
            number, name = key.split("/")
            parameter = parameters[int(number)]
            # Copied: what is read from a file may not be written to.
            moved = value.to(parameter.device, torch.float32 if name == "step" else parameter.dtype, copy=True)
            self.state.setdefault(int(number), {})[name] = moved

    def _state(self, number: int, parameter: Tensor) -> dict[str, Tensor]:
        if number not in self.state:
            step = torch.zeros((), dtype=torch.float32, device=parameter.device if self.fused else "cpu")
            moments = (torch.zeros_like(parameter, memory_format=torch.preserve_format) for _ in range(2))
            self.state[number] = dict(zip(_STATE, (step, *moments), strict=True))
        return self.state[number]
