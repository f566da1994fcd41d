"""The artifact between training and serving: a folder, its manifest of hashes, and the predictor that loads it."""

from roadmap.bundle.bundle import MANIFEST, Bundle, BundleError, Manifest, read_manifest, sha256, write_manifest
from roadmap.bundle.predictor import (
    Batches,
    CallFormat,
    Chats,
    Embeds,
    GenerationBatch,
    Note,
    Notes,
    Predictor,
    ScoredText,
    Streams,
    Tokenizes,
    load_predictor,
)
from roadmap.bundle.sessions import Execution, Provider

__all__ = [
    "MANIFEST",
    "Batches",
    "Bundle",
    "BundleError",
    "CallFormat",
    "Chats",
    "Embeds",
    "Execution",
    "GenerationBatch",
    "Manifest",
    "Note",
    "Notes",
    "Predictor",
    "Provider",
    "ScoredText",
    "Streams",
    "Tokenizes",
    "load_predictor",
    "read_manifest",
    "sha256",
    "write_manifest",
]
