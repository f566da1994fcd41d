"""The artefact between training and serving: a sealed folder, its manifest, and the predictor that stands on it."""

from roadmap.bundle.bundle import MANIFEST, Bundle, BundleError, Manifest, seal, sha256
from roadmap.bundle.predictor import Batch, Predictor, load_predictor

__all__ = ["MANIFEST", "Batch", "Bundle", "BundleError", "Manifest", "Predictor", "load_predictor", "seal", "sha256"]
