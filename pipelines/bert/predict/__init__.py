"""Classes of texts over HTTP: a text in; its label, probabilities, whether it is out of scope, and on request what each
word contributed. No torch."""

from roadmap.inference.text.classifier import ClassifiedText as Response
from roadmap.inference.text.classifier import TextClassifier

__all__ = ["Predictor", "Response"]


class Predictor(TextClassifier):
    """A fine-tuned encoder; its sentence vectors are at /v1/embeddings."""
