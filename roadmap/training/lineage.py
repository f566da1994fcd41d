"""Lineage of a model: its code, data and parameters."""

from roadmap.bundle.code import git_commit
from roadmap.config.schema import Run
from roadmap.io.json import JsonObject


def lineage(run: Run, card: JsonObject) -> JsonObject:
    """For the manifest, the tracker and the fingerprint of a training. card: data card of the prepared data"""
    return {
        "source": card["source"],
        "git_commit": git_commit(),
        "data_sha256": card["sha256"],
        "params_sha256": run.params_sha256(),
        "weights_sha256": card.get("weights", {}).get("sha256"),
    }
