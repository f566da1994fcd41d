"""CIFAR-10: behavioural checks on small corruptions, occlusion and simple shapes."""

from collections.abc import Iterator

import numpy as np

from pipelines.cifar10.evaluate import robustness
from pipelines.cifar10.predict import Predictor
from roadmap import project
from roadmap.data.scenes import SHAPES, scene
from roadmap.evaluation.behavioural import CASES, BehaviouralCheck, sample_cases
from roadmap.inference import images
from roadmap.project import Request

SIZE = 32


class Behaviour(project.Behaviour[Predictor]):
    def expectations(self, predictor: Predictor, requests: list[Request]) -> Iterator[BehaviouralCheck]:
        pixels = np.stack(
            [images.decode(request["image"], SIZE) for request in sample_cases(requests)]
        )  # uint8 [n, 32, 32, 3]
        predict = robustness.through(predictor)
        before = predict(pixels)
        label, rows = before.argmax(axis=1), np.arange(len(pixels))
        for name, changed, minimum in (
            ("a mirror", pixels[:, :, ::-1], 0.85),
            ("a little more light", robustness.brightness(pixels, 0.1), 0.9),
            ("a little noise", robustness.gaussian_noise(pixels, 3), 0.9),
        ):
            yield BehaviouralCheck(name, "invariance", predict(changed).argmax(axis=1) == label, minimum)
        covered, quarter = pixels.copy(), SIZE // 4
        covered[:, quarter:-quarter, quarter:-quarter] = 128
        after = predict(covered)[rows, label]
        yield BehaviouralCheck("the middle covered: less sure", "directional", after < before[rows, label], 0.9)
        kinds = predictor.classes
        if kinds == list(SHAPES):
            rng, truth = np.random.default_rng(0), np.arange(CASES) % len(kinds)
            drawn = np.stack([scene(rng, SIZE, (kinds[kind],), clean=True).pixels for kind in truth])
            yield BehaviouralCheck("drawn cleanly", "minimum", predict(drawn).argmax(axis=1) == truth, 0.95)
