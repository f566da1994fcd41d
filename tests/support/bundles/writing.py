"""Writes a graph and its assets as a bundle."""

import json
from pathlib import Path
from typing import Any

import onnx
from onnx import helper

from roadmap.bundle import MANIFEST, Manifest, write_manifest


def write(
    folder: Path,
    project: str,
    graph: onnx.GraphProto,
    assets: dict[str, Any],
    *,
    source: str,
    predictor: str = "",
    model: str = "model.onnx",
    texts: dict[str, str] | None = None,
) -> Manifest:
    """Writes graph and assets as a bundle. texts: files that are no JSON"""
    folder.mkdir(parents=True)
    network = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(network)
    onnx.save(network, folder / model)
    for name, content in assets.items():
        (folder / name).write_text(json.dumps(content) + "\n")
    for name, text in (texts or {}).items():
        (folder / name).write_text(text)
    return write_manifest(
        folder,
        project=project,
        predictor=predictor or f"pipelines.{project}.predict",
        profile="sample",
        source=source,
        created="2026-11-24T07:00:00+00:00",
        git_commit="0" * 40,
        data_sha256="1" * 64,
        params_sha256="2" * 64,
        run="3" * 32,
    )


def another(folder: Path, note: str = "another") -> Manifest:
    """Makes the bundle another version: the same model with other content."""
    manifest = Manifest.model_validate_json((folder / MANIFEST).read_bytes())
    (folder / "note.json").write_text(json.dumps(note))
    return write_manifest(folder, **manifest.model_dump(exclude={"files"}))
