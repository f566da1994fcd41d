"""Classes of texts over HTTP: a text in; its label, probabilities, whether it is out of scope, and on request what each
word contributed. No torch."""

from roadmap.inference.text import classifier

Response = classifier.Response


class Predictor(classifier.TextClassifier):
    """A fine-tuned encoder; its sentence vectors are at /v1/embeddings."""
