"""Writes the bundle: the graphs, their accompanying files, and what its own predictor derives from them."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from roadmap.bundle import Bundle, Manifest, write_manifest
from roadmap.config.schema import Run
from roadmap.io.atomic import atomic_folder
from roadmap.io.json import JsonObject
from roadmap.training.export import export
from roadmap.training.fitting import Fitted


def write_bundle(
    run: Run, fitted: Mapping[str, Fitted], lineage: JsonObject, observed: Callable[[Bundle], Mapping[str, str]]
) -> Manifest:
    """Writes artifacts/<project>/bundle atomically.

    observed: file name -> text, made by the predictor from the otherwise complete bundle
    """
    with atomic_folder(run.artifacts / "bundle") as draft:
        for name, one in fitted.items():
            export(one.network, one.data.example, draft, name)
            assets = one.data.assets(one.network) if callable(one.data.assets) else one.data.assets
            for file, content in assets.items():
                (draft / file).write_bytes(content if isinstance(content, bytes) else _json(content))
        about = {
            "project": run.name,
            "predictor": f"pipelines.{run.name}.predict",
            "profile": run.profile,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            **lineage,
        }
        write_manifest(draft, **about)
        for file, text in observed(Bundle(draft)).items():
            (draft / file).write_text(text)
        return write_manifest(draft, **about)


def _json(content: Any) -> bytes:
    return f"{json.dumps(content, ensure_ascii=False)}\n".encode()
