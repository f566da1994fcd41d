"""Memory and speed of an architecture on a machine, by roofline (Williams et al., "Roofline", 2009).

A step takes as long as the longer of two: moving its bytes, or its arithmetic. That is an upper bound: activations, the
runtime's own memory and the communication between devices are left out.
"""

from dataclasses import dataclass, replace

from roadmap.sizing.architecture import Architecture

# Bits per weight; int4 with a 16-bit scale for 32 weights.
PRECISIONS = {"fp32": 32.0, "bf16": 16.0, "int8": 8.0, "int4": 4.5}
CACHE = 2  # bytes of a cached number


@dataclass(frozen=True)
class Machine:
    """
    Args:
        memory: bytes.
        bandwidth: bytes a second, from memory.
        flops: operations a second on dense matrices, in 16 bits with 32-bit sums where the datasheet has both.
    """

    name: str
    source: str
    memory: float
    bandwidth: float
    flops: float

    def times(self, devices: int) -> "Machine":
        """So many together, without the cost of their talk."""
        name = f"{devices} x {self.name}" if devices > 1 else self.name
        return replace(self, name=name, memory=self.memory * devices, bandwidth=self.bandwidth * devices,
                       flops=self.flops * devices)  # fmt: skip


MACHINES = {
    one.name: one
    for one in (
        Machine("h200", "NVIDIA H200 SXM datasheet", 141e9, 4.8e12, 989e12),
        Machine("h100", "NVIDIA H100 SXM datasheet", 80e9, 3.35e12, 989e12),
        Machine("a100", "NVIDIA A100 80GB SXM datasheet", 80e9, 2.039e12, 312e12),
        Machine("l4", "NVIDIA L4 datasheet", 24e9, 300e9, 121e12),
        Machine("a10", "NVIDIA A10 datasheet", 24e9, 600e9, 125e12),
        Machine("t4", "NVIDIA T4 datasheet", 16e9, 320e9, 65e12),
        Machine("rtx4090", "NVIDIA Ada GPU architecture, table 2", 24e9, 1008e9, 165e12),
    )
}


def weights(architecture: Architecture, precision: str) -> float:
    """Bytes."""
    return architecture.parameters() * PRECISIONS[precision] / 8


def cache(architecture: Architecture, context: int, batch: int) -> float:
    """Bytes of the keys and values of `batch` sequences with `context` tokens each."""
    return float(architecture.cache_values(context) * batch * CACHE)


def memory(architecture: Architecture, precision: str, context: int, batch: int) -> float:
    return weights(architecture, precision) + cache(architecture, context, batch)


def largest_batch(architecture: Architecture, machine: Machine, precision: str, context: int) -> int:
    """How many sequences fit beside the weights; 0 if not one does."""
    left = machine.memory - weights(architecture, precision)
    return max(0, int(left // cache(architecture, context, 1)))


def step_seconds(
    architecture: Architecture, machine: Machine, precision: str, context: int, batch: int
) -> tuple[float, float]:
    """Of one token for each sequence: moving bytes, and arithmetic."""
    moved = architecture.weights_read(batch) * PRECISIONS[precision] / 8 + cache(architecture, context, batch)
    return moved / machine.bandwidth, batch * architecture.flops(context) / machine.flops


def decoding(architecture: Architecture, machine: Machine, precision: str, context: int, batch: int) -> float:
    """Tokens a second, of all sequences together, at most."""
    return batch / max(step_seconds(architecture, machine, precision, context, batch))


def reading(architecture: Architecture, machine: Machine, context: int) -> float:
    """Tokens of a prompt a second, at most; each sees half of the prompt on average."""
    return machine.flops / architecture.flops(max(1, context // 2))
