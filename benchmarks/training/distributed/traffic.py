"""Counts what collective operations send."""

from collections import Counter
from typing import Any

import torch
from torch import Tensor
from torch._C._distributed_c10d import ProcessGroup
from torch.utils._python_dispatch import TorchDispatchMode

# Of the data of an operation, what a process of p sends, as a ring does it (Patarasuk and Yuan, 2009).
SHARES = {
    "allreduce_": lambda p: 2 * (p - 1) / p,
    "_allgather_base_": lambda p: (p - 1) / p,
    "_reduce_scatter_base_": lambda p: (p - 1) / p,
    "send": lambda p: 1.0,
    "broadcast_": lambda p: (p - 1) / p,
}


class Traffic(TorchDispatchMode):
    """Bytes that this process sends while the mode is entered, by operation and number of processes."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.namespace == "c10d":
            operation = func._schema.name.removeprefix("c10d::")
            if operation in SHARES:
                group = next(ProcessGroup.unbox(arg) for arg in args if isinstance(arg, torch.ScriptObject))
                data = max(_bytes(arg) for arg in args)  # the whole, of which the other tensor is a part
                self.sent[f"{operation.strip('_')} of {group.size()}"] += round(data * SHARES[operation](group.size()))
            elif not operation.startswith(("recv", "barrier", "monitored")):
                raise ValueError(f"{operation}: what it sends is not known; expected one of {', '.join(SHARES)}")
        return func(*args, **(kwargs or {}))


def _bytes(found: Any) -> int:
    if isinstance(found, Tensor):
        return found.numel() * found.element_size()
    return sum(map(_bytes, found)) if isinstance(found, list | tuple) else 0
