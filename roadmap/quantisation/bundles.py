"""A bundle in another precision: the same weights, files and predictor."""

import hashlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
from onnx import ModelProto, helper

from roadmap.bundle import Bundle, Manifest, write_manifest
from roadmap.bundle.sessions import ALONE, RowByRow
from roadmap.config.settings import ExportSettings, Precision
from roadmap.io.errors import UsageError
from roadmap.io.json import JsonObject
from roadmap.quantisation.calibration import runs_of
from roadmap.quantisation.graphs import OPERATORS, Layer, layers, prepared, quantise

TOGETHER = 8  # requests of a batch, to see whether rows are computed independently


def quantised(
    bundle: Bundle,
    folder: Path,
    export: ExportSettings,
    requests: Sequence[JsonObject],
    observed: Callable[[Bundle], Mapping[str, str]],
) -> Manifest:
    """Writes the bundle in another precision to an empty folder.

    Args:
        bundle: in fp32.
        requests: of the training split; int8_static observes the activations while they are answered.
        observed: as of `write_bundle`.

    Raises:
        UsageError: the bundle is not in fp32; `keep` names no layer; the precision changes nothing in these graphs,
            has no kernels here, or would make answers depend on each other.
    """
    require_fp32(bundle)
    precision = export.precision
    shutil.copytree(bundle.folder, folder, dirs_exist_ok=True)
    graphs = {path.name: prepared(path, precision) for path in sorted(bundle.folder.glob("*.onnx"))}
    chosen = chosen_layers(bundle.folder, graphs, export)
    feeds = runs_of(bundle, requests) if precision == "int8_static" else {}
    if precision == "int8_dynamic":
        require_independent_rows(bundle, requests)
    for file, graph in graphs.items():
        nodes = [one.node for one in chosen[file]]
        if not nodes and precision in OPERATORS:
            continue
        if precision == "int8_dynamic":
            helper.set_model_props(graph, {ALONE: "true"})
        quantise(graph, folder / file, precision, nodes, feeds.get(file, ()))
    manifest = bundle.manifest
    about = manifest.model_dump(exclude={"files", "code_sha256"}) | {
        "precision": precision,
        "quantised_from": manifest.version,
        # of its own: its metrics are not those of the training
        "run": hashlib.sha256(f"{manifest.run} {export.model_dump_json()}".encode()).hexdigest()[:32],
    }
    write_manifest(folder, **about)
    for file, text in observed(Bundle(folder)).items():
        (folder / file).write_text(text)
    return write_manifest(folder, **about)


def require_fp32(bundle: Bundle) -> None:
    """Raises: UsageError: it has another precision."""
    if (found := bundle.manifest.precision) != "fp32":
        raise UsageError(
            f"{bundle.folder}: precision: found {found}; expected fp32, which can be quantised; set export.precision "
            f"to fp32 and run `dvc repro train@{bundle.manifest.project}`"
        )


def chosen_layers(folder: Path, graphs: Mapping[str, ModelProto], export: ExportSettings) -> dict[str, list[Layer]]:
    """File name -> the layers that are quantised.

    Raises:
        UsageError: a pattern of `keep` fits no layer, or none is left.
    """
    precision: Precision = export.precision
    found = {file: layers(graph, precision) for file, graph in graphs.items()}
    if precision not in OPERATORS:
        return found
    names = [one.name for each in found.values() for one in each]
    for pattern in export.keep:
        if not any(fnmatch(name, pattern) for name in names):
            raise UsageError(
                f"export.keep: found {pattern!r}, which fits no layer that {precision} changes; expected one of "
                f"{', '.join(names) or 'none'}"
            )
    left = {
        file: [one for one in each if not any(fnmatch(one.name, pattern) for pattern in export.keep)]
        for file, each in found.items()
    }
    if not any(left.values()):
        raise UsageError(
            f"{folder}: {precision}: found no layer to change; expected constant weights of "
            f"{', '.join(OPERATORS[precision])}; choose another precision, or a shorter export.keep"
        )
    return left


def require_independent_rows(bundle: Bundle, requests: Sequence[JsonObject]) -> None:
    """Raises: UsageError: rows of a graph depend on each other, as hypotheses of one beam do."""
    import onnxruntime

    silent = onnxruntime.RunOptions()
    silent.log_severity_level = 4  # a failure is expected here
    for file, runs in runs_of(bundle, requests[: 4 * TOGETHER], TOGETHER).items():
        session = bundle.session(file)
        for feed in runs[:20]:
            try:
                alone = RowByRow(session).run(None, feed, silent)
                same = all(map(_close, alone, session.run(None, feed)))
            except Exception:  # inputs without rows, or rows that refer to others
                same = False
            if not same:
                raise UsageError(
                    f"{bundle.folder / file}: int8_dynamic: found rows that depend on each other; expected independent "
                    "ones, because the range of the activations is taken over a batch and each row must run alone; "
                    "choose int8_static or int8_weights"
                )


def _close(one: np.ndarray, other: np.ndarray) -> bool:
    return one.shape == other.shape and np.allclose(one, other, rtol=1e-3, atol=1e-4)
