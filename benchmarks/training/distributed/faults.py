"""Mistakes that parallel training makes silently: each trains, and must be found by the comparison with one process."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from models.decoders import parallel, pipeline
from roadmap.training.strategies import Layout
from roadmap.training.strategies.parts import Parts, local


def _local_norm(parts: Parts) -> Tensor:
    return torch.stack([local(p.grad).norm() for p in parts.network.parameters() if p.grad is not None]).norm()


def _summed_over_data(layout: Layout) -> None:
    configure(layout)
    network: Any = layout.lightning_module
    for module in network.modules():
        if hasattr(module, "set_gradient_divide_factor"):
            module.set_gradient_divide_factor(1.0)


def _whole_norm(norm: Any, _: object) -> Any:
    return norm


configure = Layout.configure_ddp
unscaled = {name: partial(schedule, scale_grads=False) for name, schedule in pipeline.SCHEDULES.items()}

# What is patched, by name of the fault.
FAULTS: dict[str, Callable[[], Any]] = {
    "f doesn't sum backward": lambda: patch.object(parallel._Copy, "backward", lambda ctx, gradient: (gradient, None)),
    "g doesn't sum forward": lambda: patch.object(parallel._Sum, "forward", lambda ctx, x, group: x.clone()),
    "norms of heads keep a part of their gradient": lambda: patch.dict(
        parallel.TABLE, {"q_norm": _whole_norm, "k_norm": _whole_norm}
    ),
    "the tied matrix keeps a part of its gradient": lambda: patch.object(
        pipeline.Pipeline, "_exchange", lambda *_: None
    ),
    "microbatches add up instead of being averaged": lambda: patch.dict(pipeline.SCHEDULES, unscaled),
    "gradients add up over the data": lambda: patch.object(Layout, "configure_ddp", _summed_over_data),
    "all have the same rows": lambda: patch.object(
        Layout, "distributed_sampler_kwargs", {"rank": 0, "num_replicas": 2}
    ),
    "each clips by its own norm": lambda: patch.object(Parts, "norm", _local_norm),
}


@contextmanager
def planted(fault: str | None) -> Iterator[None]:
    with ExitStack() as stack:
        if fault is not None:
            stack.enter_context(FAULTS[fault]())
        yield
