"""Episodes as pictures that move."""

import xml.etree.ElementTree as ET

import numpy as np
import pytest

from pipelines.control.data.environments.pictures import picture


@pytest.mark.parametrize(
    ("environment", "size"), [("CartPole-v1", 4), ("MountainCar-v0", 2), ("Acrobot-v1", 6), ("FrozenLake-v1", 0)]
)
def test_every_step_is_a_frame(environment: str, size: int) -> None:
    seen = np.zeros((7, size)) + 0.1 if size else np.array([0, 4, 8, 9, 13, 14, 15])
    drawn = picture(environment, seen, 'An "episode" <of it>')
    assert drawn is not None
    root = ET.fromstring(drawn)
    assert root.get("aria-label") == 'An "episode" <of it>'
    frames = [one.get("values", "").split(";") for one in root.iter() if one.tag.split("}")[1].startswith("animate")]
    assert frames and all(len(values) == 7 for values in frames)


def test_what_is_not_known_is_not_drawn() -> None:
    assert picture("mine:Walk", np.zeros((3, 2)), "") is None
    assert picture("FrozenLake-v1", np.array([0, 60]), "") is None, "a larger map"
