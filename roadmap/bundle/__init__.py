"""The artefact between training and serving: a sealed folder, its manifest, and the predictor that stands on it."""

from roadmap.bundle.bundle import MANIFEST, Bundle, BundleError, Manifest, seal, sha256
from roadmap.bundle.predictor import Batch, Batches, Chats, Embeds, Predictor, Streams, load_predictor

__all__ = [
    "MANIFEST",
    "Batch",
    "Batches",
    "Bundle",
    "BundleError",
    "Chats",
    "Embeds",
    "Manifest",
    "Predictor",
    "Streams",
    "load_predictor",
    "seal",
    "sha256",
]
