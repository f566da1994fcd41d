"""The artifact between training and serving: a folder, its manifest of hashes, and the predictor that loads it."""

from roadmap.bundle.bundle import MANIFEST, Bundle, BundleError, Manifest, read_manifest, sha256, write_manifest
from roadmap.bundle.predictor import (
    Batches,
    Chats,
    Embeds,
    GenerationBatch,
    Note,
    Notes,
    Predictor,
    Streams,
    Tokenizes,
    load_predictor,
)

__all__ = [
    "MANIFEST",
    "Batches",
    "Bundle",
    "BundleError",
    "Chats",
    "Embeds",
    "GenerationBatch",
    "Manifest",
    "Note",
    "Notes",
    "Predictor",
    "Streams",
    "Tokenizes",
    "load_predictor",
    "read_manifest",
    "sha256",
    "write_manifest",
]
