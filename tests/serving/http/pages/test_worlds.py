"""The worlds in which a policy plays on the page: gymnasium's physics, and a page for every environment."""

import re
from collections.abc import Iterator
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from playwright.sync_api import Browser, expect

from serving.settings import Settings
from tests.support.bundles.control import LAKE, frozen_lake, policy
from tests.support.visits import Visit, served

UP_AND_LEFT = [0, 3, 3, 3, 0, 0, 0, 0, 3, 1, 0, 0, 0, 2, 1, 0]
PLAYED = """async ([environment, start, actions]) => {
    const { worldOf } = await import("/playground/worlds/all.js");
    const world = worldOf({ "x-environment": environment });
    const seen = [];
    let state = world.restored(start);
    for (const action of actions) {
        const step = world.step(state, action);
        state = step.state;
        seen.push([...[world.observed(state)].flat(), step.reward, Number(Boolean(step.ended))]);
    }
    return seen;
}"""


@pytest.fixture
def lake(browser: Browser, tmp_path: Path) -> Iterator[Visit]:
    frozen_lake(tmp_path / "control" / "bundle", UP_AND_LEFT)
    with served(Settings(bundles=str(tmp_path))) as address:
        one = Visit(browser, address, viewport={"width": 380, "height": 900})
        yield one
        one.close()


@pytest.mark.parametrize("name", ["CartPole-v1", "MountainCar-v0", "Acrobot-v1", "CliffWalking-v1"])
def test_the_physics_are_gymnasiums(name: str, visit: Visit) -> None:
    env, rng = gymnasium.make(name), np.random.default_rng(1)
    assert isinstance(env.action_space, gymnasium.spaces.Discrete)
    start, _ = env.reset(seed=3)
    if name == "MountainCar-v0":
        actions = [int(each) for each in np.repeat(rng.integers(3, size=16), 12)]
    else:
        actions = rng.integers(env.action_space.n, size=120).tolist()
    expected = []
    for action in actions:
        observation, reward, terminated, _, _ = env.step(action)
        expected.append([*np.atleast_1d(observation), reward, terminated])
        if terminated:
            break
    page = visit.open("control")
    found = page.evaluate(PLAYED, [name, np.asarray(start).tolist(), actions[: len(expected)]])
    assert len(found) > 10
    np.testing.assert_allclose(found, np.array(expected, float), atol=2e-3 if name == "Acrobot-v1" else 1e-4)


def test_on_ice_a_person_moves_turn_by_turn(lake: Visit) -> None:
    page = lake.open("control")
    expect(page.locator(".bars li")).to_have_count(4)
    page.get_by_role("button", name="Take over").click()
    count = page.locator(".bench.play .stack > .figure")
    expect(page.locator(".answer h3").first).to_have_text("The policy would choose")
    expect(count).to_have_text(re.compile(r"^0 steps"))
    page.keyboard.press("ArrowDown")
    expect(count).to_have_text(re.compile(r"^1 steps|^Through the ice after 1 steps"))
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.get_by_role("button", name="Give back").click()
    expect(count).to_have_text(re.compile(r"^([3-9]|\d\d) steps|^(Through the ice|At the goal) "))


@pytest.mark.parametrize(
    ("environment", "states", "fields"), [("mine:Walk", None, 2), ("Taxi-v4", 500, 1), ("FrozenLake-v1", 64, 1)]
)
def test_a_world_that_is_not_known_has_sliders(
    environment: str, states: int | None, fields: int, browser: Browser, tmp_path: Path
) -> None:
    size = states or 2
    names = [] if states else ["place", "age"]
    options = {"map_name": "8x8"} if states == 64 else {}
    schema = {**LAKE, "environment": environment, "states": states, "observations": names, "options": options}
    seen = [[0.5, 0.1], [1.0, 0.2]] if states is None else [0, 1]
    visited = {"observations": seen, "states": seen, "low": [-1.0, 0.0], "high": [2.0, 1.0]}
    weights = np.random.default_rng(0).normal(size=(size, 4)).astype(np.float32)
    policy(tmp_path / "control" / "bundle", weights, schema, visited, [{"observation": seen[0]}])
    with served(Settings(bundles=str(tmp_path))) as address:
        visit = Visit(browser, address)
        page = visit.open("control")
        expect(page.locator(".bench.form .bars li")).to_have_count(4 + 1)  # and the probability of the answer
        sliders = page.locator("[data-field=observation] input[type=range]")
        expect(sliders).to_have_count(fields)
        before = page.locator(".answer .bars").last.text_content()
        sliders.first.focus()
        page.keyboard.press("PageUp")
        expect(page.locator(".answer .bars").last).not_to_have_text(before or "")
        expect(page.locator(".alert")).to_have_count(0)
        visit.close()
