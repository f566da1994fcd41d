"""mini_gpt over HTTP: a prompt in, its continuation out. No torch."""

from roadmap.inference.generation import Generator


class Predictor(Generator):
    pass
