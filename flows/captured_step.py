"""A training step on a card, recorded once and played back: a flow's hundreds of small kernels are started as one."""

from __future__ import annotations

import torch
from torch import Tensor

from flows.flow_model import MarketFlow

_WARM_UPS = 3


class CapturedStep:
    """Loss and clipped gradients of batches of one shape; gradients lie where the parameters keep them.

    Called with a batch (B, D), it returns the loss and the norm of the gradients before they were clipped. Gradients
    are written by each call, and may not be set to None between calls.
    """

    def __init__(self, model: MarketFlow, clip: float, batch: Tensor) -> None:
        self._model, self._clip, self._batch = model, clip, batch.clone()
        aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]  # torch's own
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(_WARM_UPS):
                self._forget()
                self._compute()
        torch.cuda.current_stream().wait_stream(aside)
        self._forget()
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._found = self._compute()

    def _forget(self) -> None:
        for parameter in self._model.parameters():
            parameter.grad = None

    def _compute(self) -> tuple[Tensor, Tensor]:
        return gradients(self._model, self._clip, self._batch)

    def __call__(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        """Play the step back on a batch; what is returned is overwritten by the next call."""
        self._batch.copy_(batch)
        self._graph.replay()
        return self._found


def gradients(model: MarketFlow, clip: float, batch: Tensor) -> tuple[Tensor, Tensor]:
    """Add the gradients of the mean NLL to the parameters' own, clipped; return the loss and their norm before."""
    loss = -model.log_prob(batch).mean()
    loss.backward()  # type: ignore[no-untyped-call]  # torch's own
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
    return loss.detach(), norm
