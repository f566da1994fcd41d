"""mini_gpt over HTTP: a prompt in, a continuation out. No torch."""

from roadmap.inference.language.generation import Generator


class Predictor(Generator):
    pass
