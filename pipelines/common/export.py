"""A trained network as an ONNX graph, checked against the network itself."""

import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np


def to_onnx(model: Any, example: np.ndarray, path: Path) -> None:
    """Writes `model` as a graph x -> y with a free batch dimension, weights inside.

    example: a batch of two, [2, ...]

    Raises:
        RuntimeError: the graph does not answer as the network does.
    """
    import onnxruntime
    import torch

    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    x = torch.from_numpy(example)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model,
            (x,),
            path,
            dynamo=True,
            external_data=False,
            input_names=["x"],
            output_names=["y"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            verbose=False,
        )
        expected = model(x).numpy()
    got = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(["y"], {"x": example})[0]
    if not np.allclose(got, expected, rtol=1e-3, atol=1e-4 * max(1.0, float(np.abs(expected).max()))):
        raise RuntimeError(f"{path}: the exported graph answers {got.ravel()[:3]}, the network {expected.ravel()[:3]}")
