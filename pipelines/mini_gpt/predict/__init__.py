"""mini_gpt over HTTP: a prompt in, its continuation out. No torch."""

from roadmap.inference.language.generation import Generator


class Predictor(Generator):
    pass
