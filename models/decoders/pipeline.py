"""Pipeline parallelism: every process keeps some of the blocks, and passes on what they make of a microbatch.

Huang et al., "GPipe" (2018), section 2.3: the batch in microbatches, all forward, then all backward. Narayanan et al.,
"PipeDream: Generalized Pipeline Parallelism for DNN Training" (2019), section 3.2, and "Efficient Large-Scale Language
Model Training on GPU Clusters Using Megatron-LM" (2021), section 2.2.1: one forward, one backward (1F1B) waits as
long, but a process keeps the activations of at most as many microbatches as there are stages. The schedules are
torch.distributed.pipelining's; what of a decoder belongs to a stage stands here.

Shapes: n sequences of t tokens, `width` values per token.
"""

from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed import ProcessGroup
from torch.distributed.pipelining import PipelineStage, Schedule1F1B, ScheduleGPipe
from torch.distributed.pipelining.schedules import PipelineScheduleSingle

if TYPE_CHECKING:
    from models.decoders.language_model import LanguageModel

SCHEDULES: dict[str, type[PipelineScheduleSingle]] = {"gpipe": ScheduleGPipe, "1f1b": Schedule1F1B}


class Stage(nn.Module):
    """The blocks of one process; the first has the embedding as well, the last the output layer."""

    def __init__(self, network: "LanguageModel", index: int, stages: int) -> None:
        super().__init__()
        self.network, self.first, self.last = network, index == 0, index == stages - 1
        self.layers = torch.arange(len(network.blocks)).tensor_split(stages)[index].tolist()

    def forward(self, x: Tensor) -> Tensor:
        """x: tokens int [n, t], or what the stage before returns -> [n, t, width], or logits [n, t, vocab]"""
        positions = torch.arange(x.shape[1], device=x.device)[None]
        turn = self.network.turns(positions)
        if self.first:
            x = self.network.embed(x, positions)
        for layer in self.layers:
            x, _ = self.network.blocks[layer](x, turn)
        return self.network.head(self.network.norm(x)) if self.last else x


class _Computed(torch.autograd.Function):
    """A loss whose gradients exist already: `loss.backward()` adds them to the parameters', as after a forward pass."""

    @staticmethod
    def forward(ctx: Any, loss: Tensor, gradients: list[Tensor | None], *parameters: nn.Parameter) -> Tensor:
        ctx.gradients = gradients
        return loss.clone()

    @staticmethod
    def backward(ctx: Any, *scale: Tensor) -> tuple[Tensor | None, ...]:
        return None, None, *(None if each is None else each * scale[0] for each in ctx.gradients)


class Pipeline:
    """Cuts a network in place; called, it runs all microbatches through all stages.

    Args:
        group: the processes of the stages, in order.
        microbatches: at most so many, as many as divide the batch.
        schedule: a key of SCHEDULES.
        data: processes with the same stage and other rows, whose gradients are averaged.

    Raises:
        ValueError: the network has fewer blocks than stages, or experts, whose balance is of all stages.
    """

    def __init__(
        self,
        network: "LanguageModel",
        group: ProcessGroup,
        microbatches: int,
        schedule: str,
        data: ProcessGroup | None = None,
    ) -> None:
        self.group, self.microbatches, self.schedule, self.data = group, microbatches, SCHEDULES[schedule], data
        index, stages = group.rank(), group.size()
        if len(network.blocks) < stages:
            raise ValueError(f"layers: found {len(network.blocks)}; expected at least one for each of {stages} stages")
        tied = network.head.weight is network.tokens.weight
        self.stage = Stage(network, index, stages)
        for layer in set(range(len(network.blocks))) - set(self.stage.layers):
            network.blocks[layer] = nn.Identity()
        # A tied matrix is in two stages: as the embedding in the first, as the output in the last.
        self.shared = network.tokens.weight if tied and (self.stage.first or self.stage.last) else None
        if not self.stage.first:
            if self.shared is None:
                network.tokens = nn.Identity()
            if getattr(network, "positions", None) is not None:
                network.positions = nn.Identity()
        if not self.stage.last:
            network.norm, network.head = nn.Identity(), nn.Identity()
        self.network, self.criterion = network, network.criterion
        self.runs: dict[tuple[object, ...], PipelineScheduleSingle] = {}

    def __call__(self, tokens: Tensor, targets: Tensor) -> Tensor:
        """The mean loss of the batch, on every process. With gradients unless they are disabled.

        tokens, targets: int [n, t]
        """
        training = torch.is_grad_enabled()
        parameters = [parameter for parameter in self.network.parameters() if parameter.requires_grad]
        before = [parameter.grad for parameter in parameters]
        for parameter in parameters:
            parameter.grad = None
        losses: list[Tensor] = []
        run = self._run(tokens.shape, training)
        perform = run.step if training else run.eval
        given = (tokens,) if self.stage.first else ()
        perform(*given, target=targets if self.stage.last else None, losses=losses, return_outputs=False)
        loss = torch.zeros((), device=tokens.device)  # in the default precision, which double training raises
        if losses:
            loss = torch.stack(losses).mean().detach().to(loss.dtype)
        dist.broadcast(loss, group=self.group, group_src=self.group.size() - 1)
        gradients = [parameter.grad for parameter in parameters]
        for parameter, gradient in zip(parameters, before, strict=True):
            parameter.grad = gradient
        if not training:
            return loss
        self._exchange(parameters, gradients)
        return _Computed.apply(loss, gradients, *parameters)

    def _run(self, shape: torch.Size, training: bool) -> PipelineScheduleSingle:
        """The schedule for batches of a shape, int [n, t]; its buffers are of that shape."""
        key = (*shape, training, torch.is_autocast_enabled("cpu"))
        if key not in self.runs:
            device = next(self.network.parameters()).device
            stage = PipelineStage(self.stage, self.group.rank(), self.group.size(), device, group=self.group)
            count = next(m for m in range(self.microbatches, 0, -1) if shape[0] % m == 0)
            schedule = self.schedule if count >= self.group.size() else ScheduleGPipe  # 1F1B needs one per stage
            self.runs[key] = schedule(stage, count, self._loss)
        return self.runs[key]

    def _loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        return self.criterion(logits.flatten(0, 1), targets.flatten().long())

    def _exchange(self, parameters: list[nn.Parameter], gradients: list[Tensor | None]) -> None:
        """Adds up the gradients of the tied matrix in its two stages, and averages all over the data."""
        for parameter, gradient in zip(parameters, gradients, strict=True):
            if gradient is None:
                continue
            if parameter is self.shared:
                other, peer = torch.empty_like(gradient), 0 if self.stage.last else self.group.size() - 1
                both = [
                    dist.P2POp(dist.isend, gradient, group=self.group, group_peer=peer),
                    dist.P2POp(dist.irecv, other, group=self.group, group_peer=peer),
                ]
                for work in dist.batch_isend_irecv(both):
                    work.wait()
                gradient += other
            if self.data is not None:
                dist.all_reduce(gradient, group=self.data)
                gradient /= self.data.size()
