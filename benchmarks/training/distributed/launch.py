"""Functions that several processes run together, as the ranks of one training."""

import multiprocessing
import os
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch

from benchmarks.training.distributed.training import Outcome

Result = TypeVar("Result")
LIMIT = 300.0  # seconds
PRELOADED = ["benchmarks.training.distributed.training"]


def together(processes: int, work: Callable[[], Result]) -> list[Result]:
    """What `work` returns in each process, by rank: outcomes, tensors and plain values.

    It finds its rank as Lightning does, in the environment. The processes are forked from a server that has imported
    PyTorch and Lightning once.

    Raises:
        RuntimeError: one of them failed, or took too long.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
        probe.close()
        files = [Path(folder, str(rank)) for rank in range(processes)]
        ranks = [
            context.Process(target=_perform, args=(work, rank, port, file), daemon=True)
            for rank, file in enumerate(files)
        ]
        for process in ranks:
            process.start()
        try:
            for process in ranks:
                process.join(LIMIT)
            codes = [process.exitcode for process in ranks]
            if any(codes):
                raise RuntimeError(f"exit codes by rank: {codes}")
            with torch.serialization.safe_globals([Outcome]):
                return [torch.load(file, weights_only=True) for file in files]
        finally:
            for process in ranks:
                process.kill()


def _perform(work: Callable[[], Result], rank: int, port: int, file: Path) -> None:
    os.environ |= {"LOCAL_RANK": str(rank), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    torch.save(work(), file)
