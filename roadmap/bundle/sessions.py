"""ONNX Runtime's sessions: where a graph runs, and how its rows are batched."""

import functools
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

Provider = Literal["cpu", "cuda", "tensorrt"]
NAMES: dict[str, str] = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}
ALONE = "row_by_row"  # key in a graph's metadata

log = logging.getLogger("roadmap.bundle")


@dataclass(frozen=True)
class Execution:
    """What runs the graphs.

    providers   in order of preference; the CPU comes last in any case
    engines     folder for the engines that TensorRT builds for this GPU, which takes minutes; None: not kept
    """

    providers: tuple[Provider, ...] = ("cpu",)
    engines: Path | None = None


ON_CPU = Execution()


def open_session(path: Path, threads: int, execution: Execution, version: str) -> "InferenceSession":
    """A session of the graph. Providers that aren't there are left out, with one warning each in a process.

    version: of the bundle; its engines are kept apart
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    available = onnxruntime.get_available_providers()
    wanted = [name for name in execution.providers if name != "cpu"]
    for name in wanted:
        if NAMES[name] not in available:
            _warn(name, f"is in none of this ONNX Runtime's providers ({', '.join(available)})")
    chosen: list[Any] = [
        (NAMES[name], _options(name, execution.engines, version)) for name in wanted if NAMES[name] in available
    ]
    session = onnxruntime.InferenceSession(path, options, providers=[*chosen, NAMES["cpu"]])
    for name in wanted:  # ONNX Runtime goes on without a provider whose libraries or device it can't find
        if NAMES[name] in available and NAMES[name] not in session.get_providers():
            _warn(name, "could not be started; ONNX Runtime's own message is above")
    if session.get_modelmeta().custom_metadata_map.get(ALONE):
        return cast("InferenceSession", RowByRow(session))
    return session


def _options(provider: str, engines: Path | None, version: str) -> dict[str, str]:
    if provider != "tensorrt" or engines is None:
        return {}
    folder = engines / version
    folder.mkdir(parents=True, exist_ok=True)
    kept = {"trt_engine_cache_enable": "True", "trt_engine_cache_path": str(folder)}
    return kept | {"trt_timing_cache_enable": "True", "trt_timing_cache_path": str(folder)}


@functools.cache
def _warn(provider: str, why: str) -> None:
    log.warning("provider %s %s; models run on the others, at last on the CPU", provider, why)


class RowByRow:
    """A session that runs each row on its own.

    A dynamically quantised graph takes the range of its activations over the whole batch, and an answer must not depend
    on who else asks at the same time.
    """

    def __init__(self, session: "InferenceSession") -> None:
        self.session = session

    def __getattr__(self, name: str) -> Any:
        return getattr(self.session, name)

    def run(self, outputs: Sequence[str] | None, feed: dict[str, np.ndarray], *rest: Any) -> list[np.ndarray]:
        """As InferenceSession.run. feed: [n, ...] each"""
        n = len(next(iter(feed.values())))
        if n == 1:
            return list(self.session.run(outputs, feed, *rest))
        rows = (
            self.session.run(outputs, {name: value[row : row + 1] for name, value in feed.items()}, *rest)
            for row in range(n)
        )
        return [np.concatenate(parts) for parts in zip(*rows, strict=True)]
