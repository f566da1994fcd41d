"""What the proof runs: ways to arrange the processes, and faults with a way that shows each."""

from roadmap.io.json import JsonObject

WAYS: dict[str, JsonObject] = {
    "ddp": {"strategy": "ddp", "devices": 2},
    "fsdp, ZeRO-2": {"strategy": "fsdp", "devices": 2, "zero": 2},
    "fsdp, ZeRO-3": {"strategy": "fsdp", "devices": 2},
    "tensor": {"strategy": "tensor", "devices": 2, "tensor": 2},
    "pipeline, GPipe": {"strategy": "pipeline", "devices": 2, "pipeline": 2, "schedule": "gpipe"},
    "pipeline, 1F1B": {"strategy": "pipeline", "devices": 2, "pipeline": 2},
    "ddp x4": {"strategy": "ddp", "devices": 4},
    "fsdp x4": {"strategy": "fsdp", "devices": 4},
    "tensor x4": {"strategy": "tensor", "devices": 4, "tensor": 4},
    "pipeline x4": {"strategy": "pipeline", "devices": 4, "pipeline": 4},
    "data x2, tensor x2": {"strategy": "hybrid", "devices": 4, "tensor": 2},
    "data x2, pipeline x2": {"strategy": "hybrid", "devices": 4, "pipeline": 2},
    "pipeline x2, tensor x2": {"strategy": "hybrid", "devices": 4, "pipeline": 2, "tensor": 2},
}

# Fault, network and way.
MISTAKES = [
    ("f doesn't sum backward", "gpt2", "tensor"),
    ("g doesn't sum forward", "gpt2", "tensor"),
    ("norms of heads keep a part of their gradient", "llama", "tensor"),
    ("the tied matrix keeps a part of its gradient", "gpt2", "pipeline, 1F1B"),
    ("microbatches add up instead of being averaged", "llama", "pipeline, GPipe"),
    ("gradients add up over the data", "gpt2", "fsdp, ZeRO-3"),
    ("all have the same rows", "gpt2", "fsdp, ZeRO-3"),
    ("each clips by its own norm", "llama", "pipeline, 1F1B"),
]
TRAIN: JsonObject = {"accumulate": 2, "clip": 0.05}  # a norm that every step exceeds
