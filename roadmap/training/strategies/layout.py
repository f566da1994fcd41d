"""The strategies `fsdp`, `tensor`, `pipeline` and `hybrid`: one mesh of processes, of other sizes.

Lightning's FSDPStrategy needs a GPU, and its ModelParallelStrategy has no pipelines; this one is DDP with another way
of dividing the network. Processes with other rows shard the weights by FSDP2 (Zhao et al., "PyTorch FSDP", 2023; stage
3 of Rajbhandari et al., "ZeRO", 2020); matrices and layers are divided by the network's own `divide` and `cut`.

A checkpoint is that of one process, so that any other number of processes, however arranged, can go on from it.
"""

from collections.abc import Collection, Mapping
from typing import Any, Protocol, runtime_checkable

from torch import nn
from torch.distributed import ProcessGroup
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method
from torch.optim import Optimizer

from roadmap.config.settings import TrainerSettings
from roadmap.io.errors import UsageError
from roadmap.io.json import JsonObject
from roadmap.training.strategies.data import DataParallel
from roadmap.training.strategies.parts import Parts, Shard

AXES = ("pipeline", "data", "tensor")  # neighbours in `tensor`, which sends most


@runtime_checkable
class Divisible(Protocol):
    """What a network has for `tensor` and `pipeline`. Both change it in place.

    Raises:
        ValueError: it can't be divided among so many processes.
    """

    def divide(self, group: ProcessGroup) -> Mapping[str, Shard]:
        """Keeps this process's part of each matrix; returns the divided weights by name."""

    def cut(self, group: ProcessGroup, microbatches: int, schedule: str, data: ProcessGroup | None) -> Collection[str]:
        """Keeps this process's layers; returns the names of weights that an earlier stage has as well.

        data: processes with the same layers, whose gradients are averaged
        """


class Layout(DataParallel):
    """Processes that divide rows, matrices and layers.

    Args:
        trainer: how many of each.
    """

    parts: Parts

    def __init__(self, trainer: TrainerSettings) -> None:
        super().__init__()
        self.trainer = trainer

    @property
    def distributed_sampler_kwargs(self) -> dict[str, int]:
        """Which of the rows are this process's."""
        return {
            "num_replicas": self.trainer.data,
            "rank": self.global_rank // self.trainer.tensor % self.trainer.data,
        }

    def configure_ddp(self) -> None:
        """Divides the network; its optimizer is made afterwards, of what is left."""
        network, given = self.lightning_module, self.trainer
        assert network is not None
        mesh = init_device_mesh(self.root_device.type, (given.pipeline, given.data, given.tensor), mesh_dim_names=AXES)
        groups = {axis: mesh[axis].get_group() for axis in AXES if mesh[axis].size() > 1}
        shards: Mapping[str, Shard] = {}
        again: Collection[str] = ()
        try:
            if "tensor" in groups:
                assert isinstance(network, Divisible)
                shards = network.divide(groups["tensor"])
            if "pipeline" in groups:
                assert isinstance(network, Divisible)
                again = network.cut(groups["pipeline"], given.microbatches, given.schedule, groups.get("data"))
            elif "data" in groups:
                shard(network, mesh["data"], given.zero)
        except ValueError as error:
            raise UsageError(f"trainer={given.strategy}: {error}") from None
        self.parts = Parts(network, shards, groups, again)

    def lightning_module_state_dict(self) -> JsonObject:
        """The weights of the whole network; every process must ask."""
        return self.parts.weights()

    def optimizer_state(self, optimizer: Optimizer) -> JsonObject:
        """As one process would have it; every process must ask."""
        return self.parts.optimizer_state(getattr(optimizer, "_optimizer", optimizer))

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        """checkpoint: of whole weights, whoever wrote it. Its weights are loaded before the network is divided."""
        for optimizer, state in zip(self.optimizers, checkpoint["optimizer_states"], strict=True):
            self.parts.load_optimizer_state(optimizer, state)


def shard(network: nn.Module, mesh: DeviceMesh, zero: int) -> None:
    """FSDP2: each process keeps its part of every weight. The layers of a list are put together one at a time."""
    lists = [module for module in network.modules() if isinstance(module, nn.ModuleList)]
    inner = {id(module) for outer in lists for layer in outer for module in layer.modules()}
    for outermost in (each for each in lists if id(each) not in inner):
        for layer in outermost:
            if any(True for _ in layer.parameters()):
                fully_shard(layer, mesh=mesh, reshard_after_forward=zero == 3)
    fully_shard(network, mesh=mesh, reshard_after_forward=False)  # a step may use weights after its `forward`
    for method in ("training_step", "validation_step"):  # which Lightning calls instead of `forward`
        register_fsdp_forward_method(network, method)
