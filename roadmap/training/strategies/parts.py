"""A network and its optimizer in one piece, out of the parts that the processes of a layout have, and back."""

from collections.abc import Collection, Mapping, Sequence
from itertools import chain
from typing import Any, Protocol, TypeVar

import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed import ProcessGroup
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.optim import Optimizer

from roadmap.io.json import JsonObject

Key = tuple[str, str]  # a weight's name, and which of its values: "" for itself, "exp_avg", ...
Values = dict[Key, Tensor]
Object = TypeVar("Object")


class Shard(Protocol):
    """How a weight is divided."""

    def cut(self, whole: Tensor, rank: int, processes: int) -> Tensor: ...

    def join(self, pieces: Sequence[Tensor]) -> Tensor: ...


class Parts:
    """What this process has of a network.

    Args:
        network: as divided.
        shards: weights of which it has a part, by name.
        groups: the processes along each axis that has several.
        again: weights that an earlier stage has as well, by name.
    """

    def __init__(
        self,
        network: nn.Module,
        shards: Mapping[str, Shard],
        groups: Mapping[str, ProcessGroup],
        again: Collection[str] = (),
    ) -> None:
        self.network, self.shards, self.again = network, shards, again
        self.tensor, self.pipeline, self.data = (groups.get(axis) for axis in ("tensor", "pipeline", "data"))

    def weights(self) -> dict[str, Tensor]:
        """The state dict of the whole network; a collective operation."""
        found = self._join({(name, ""): value for name, value in self.network.state_dict().items()})
        return {name: value for (name, _), value in found.items()}

    def gradients(self) -> dict[str, Tensor]:
        """Those of the whole network; a collective operation."""
        mine = {(name, ""): p.grad for name, p in self.network.named_parameters() if p.grad is not None}
        return {name: value for (name, _), value in self._join(mine).items()}

    def optimizer_state(self, optimizer: Optimizer) -> JsonObject:
        """The state dict of the optimizer of the whole network; a collective operation."""
        if inner := getattr(optimizer, "both", None):
            return {"both": [self.optimizer_state(one) for one in inner]}
        index, names = self._order(optimizer)
        of = self._names()
        values: Values = {}
        for parameter, found in optimizer.state.items():
            values |= {(of[parameter], key): value for key, value in found.items()}
        state: dict[int, dict[str, Tensor]] = {}
        for (name, key), value in self._join(values).items():
            state.setdefault(index[name], {})[key] = value
        groups = [
            {**group, "params": [index[name] for name in own]}
            for group, own in zip(optimizer.param_groups, names, strict=True)
        ]
        return {"state": dict(sorted(state.items())), "param_groups": groups}

    def load_optimizer_state(self, optimizer: Optimizer, whole: JsonObject) -> None:
        """whole: as of `optimizer_state`; a collective operation"""
        if inner := getattr(optimizer, "both", None):
            for one, part in zip(inner, whole["both"], strict=True):
                self.load_optimizer_state(one, part)
            optimizer.load_state_dict({"both": [one.state_dict() for one in inner]})  # which shares the groups again
            return
        index, _ = self._order(optimizer)
        of, state, groups, count = self._names(), {}, [], 0
        for group, saved in zip(optimizer.param_groups, whole["param_groups"], strict=True):
            for place, parameter in enumerate(group["params"], count):
                values = whole["state"].get(index[of[parameter]], {})
                state[place] = {key: self._part(of[parameter], parameter, value) for key, value in values.items()}
            groups.append({**saved, "params": list(range(count, count + len(group["params"])))})
            count += len(group["params"])
        state = {place: values for place, values in state.items() if values}
        optimizer.load_state_dict({"state": state, "param_groups": groups})

    def norm(self) -> Tensor:
        """Of all gradients of the whole network, each counted once; a collective operation."""
        gradients = [(n, local(p.grad)) for n, p in self.network.named_parameters() if p.grad is not None]
        squares = gradients[0][1].new_zeros(2)  # of weights that are whole here, and of divided ones
        for name, gradient in gradients:
            if name not in self.again:
                squares[int(name in self.shards)] += gradient.square().sum()
        if self.tensor is not None:
            dist.all_reduce(squares[1], group=self.tensor)
        total = squares.sum()
        if self.pipeline is not None:
            dist.all_reduce(total, group=self.pipeline)
        elif self.data is not None:  # a part of each gradient, by FSDP
            dist.all_reduce(total, group=self.data)
        return total.sqrt()

    def _names(self) -> dict[Tensor, str]:
        return {parameter: name for name, parameter in self.network.named_parameters()}

    def _order(self, optimizer: Optimizer) -> tuple[dict[str, int], list[list[str]]]:
        """The place of each weight in the optimizer of the whole network, and the names in each of its groups."""
        of = self._names()
        mine = [[of[parameter] for parameter in group["params"]] for group in optimizer.param_groups]
        stages = gathered(mine, self.pipeline)
        names = [list(dict.fromkeys(chain(*group))) for group in zip(*stages, strict=True)]
        return {name: place for place, name in enumerate(chain(*names))}, names

    def _join(self, mine: Mapping[Key, Tensor]) -> Values:
        """The whole of each value, and the values of all stages."""
        found = {key: value.full_tensor() if isinstance(value, DTensor) else value for key, value in mine.items()}
        divided = {key: value for key, value in found.items() if key[0] in self.shards and value.ndim}
        pieces = gathered(divided, self.tensor)
        found |= {key: self.shards[key[0]].join([piece[key] for piece in pieces]) for key in divided}
        stages = gathered(found, self.pipeline)
        return {key: value.detach().clone() for stage in reversed(stages) for key, value in stage.items()}

    def _part(self, name: str, parameter: nn.Parameter, whole: Any) -> Any:
        """This process's part of a value of the optimizer."""
        if not isinstance(whole, Tensor) or not whole.ndim:
            return whole
        if name in self.shards and self.tensor is not None:
            whole = self.shards[name].cut(whole, self.tensor.rank(), self.tensor.size())
        if isinstance(parameter, DTensor):
            return distribute_tensor(whole, parameter.device_mesh, parameter.placements)
        return whole


def local(tensor: Tensor) -> Tensor:
    """This process's part of an FSDP tensor."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def gathered(mine: Object, group: ProcessGroup | None) -> list[Object]:
    """What all processes of a group have, in order."""
    if group is None:
        return [mine]
    found: list[Any] = [None] * group.size()
    dist.all_gather_object(found, mine, group=group)
    return found
