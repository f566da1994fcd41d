"""Environments of gymnasium and one's own: what ends is bootstrapped rightly, and what is wrong is said in a line."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

from pipelines.control.data.environments import Environment, OneHot, make
from pipelines.control.data.environments.adapter import Gymnasium
from pipelines.control.data.environments.trial import trial
from roadmap.io.errors import UsageError
from tests.support.checkouts import ROOT

OWN = """
import gymnasium
import numpy as np
from gymnasium import spaces


class Counter(gymnasium.Env):
    "Counts to 5, or for ever; `fault` is what it does at the third step."

    def __init__(self, fault="", ends=True):
        self.observation_space = spaces.Box(-9, 99, (2,), np.float32)
        self.action_space = spaces.Box(-1, 1, (1,)) if fault == "continuous" else spaces.Discrete(2, start=1)
        if fault == "words":
            self.observation_space = spaces.Sequence(spaces.Discrete(2))
        self.fault, self.ends = fault, ends

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.count = 0
        self.luck = np.random.random() if self.fault == "unseeded" else self.np_random.random()
        return self.seen(), {}

    def seen(self):
        return np.array([self.count, self.luck], np.float32)

    def step(self, action):
        assert action in (1, 2)
        self.count += 1
        seen, reward = self.seen(), 1.0
        if self.count == 3:
            match self.fault:
                case "raises":
                    raise ZeroDivisionError("the pole\\n is gone")
                case "nan":
                    seen[1] = np.nan
                case "shape":
                    seen = np.zeros(3, np.float32)
                case "reward":
                    reward = float("inf")
        return seen, reward, self.ends and self.count == 5, False, {}


class Chain(gymnasium.Env):
    observation_space, action_space = spaces.Discrete(4, start=2), spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        self.place = 2
        return self.place, {}

    def step(self, action):
        self.place += 1
        return self.place, 1.0, self.place == 5, False, {}


class Absent(gymnasium.Env):
    def __init__(self):
        raise gymnasium.error.DependencyNotInstalled("Box2D is not installed")


def nothing():
    return 5
"""


@pytest.fixture(autouse=True)
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "counters.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "counters", raising=False)


def test_any_environment_steps_as_gymnasiums_vector_with_same_step_resets() -> None:
    ours = Gymnasium("Acrobot-v1", 3, 0, 40, {})
    theirs = gymnasium.vector.SyncVectorEnv(
        [lambda: gymnasium.make("Acrobot-v1", max_episode_steps=40)] * 3,
        autoreset_mode=gymnasium.vector.AutoresetMode.SAME_STEP,
    )
    now, (expected, _) = ours.reset([1, 2, 3]), theirs.reset(seed=[1, 2, 3])
    assert (ours.size, ours.actions, ours.states) == (6, 3, None)
    rng = np.random.default_rng(0)
    for age in range(1, 61):
        assert now.dtype == np.float32 and (age > 40 or np.array_equal(now, expected))
        actions = rng.integers(3, size=3)
        step = ours.step(actions)
        expected, rewards, terminated, truncated, info = theirs.step(actions)
        assert np.array_equal(step.terminated, terminated) and np.array_equal(step.truncated, truncated)
        assert np.array_equal(step.rewards, rewards)
        if age == 40:
            assert truncated.all() and np.array_equal(step.final, np.stack(info["final_obs"]))
            assert (np.abs(step.observations[:, [1, 3]]) < 0.11).all(), "hanging still, as at a start"
        elif age < 40:
            assert np.array_equal(step.final, expected)
        now = step.observations


def test_ones_own_by_import_path_ends_and_begins_anew() -> None:
    environment = make("counters:Counter", 2, 0)
    now = environment.reset([3, 4])
    for count in (1, 2, 3, 4, 5):
        step = environment.step(np.array([0, 1]))
        assert step.final[:, 0].tolist() == [count, count]
        assert np.array_equal(step.final[:, 1], now[:, 1])
    assert step.terminated.all() and not step.truncated.any()
    assert step.observations[:, 0].tolist() == [0, 0] and (step.observations[:, 1] != now[:, 1]).all()


def test_one_that_never_ends_is_cut() -> None:
    environment = make("counters:Counter", 1, 0, limit=7, options={"ends": False})
    environment.reset()
    ends = [environment.step(np.zeros(1, int)).truncated[0] for _ in range(14)]
    assert [i for i, end in enumerate(ends, start=1) if end] == [7, 14]


def test_states_may_be_numbers_from_anywhere() -> None:
    environment: Environment = make("counters:Chain", 1, 0)
    assert (environment.states, environment.reset().tolist()) == (4, [0])
    vectors = OneHot(environment)
    assert vectors.reset().tolist() == [[1, 0, 0, 0]]
    assert [vectors.step(np.zeros(1, int)).final[0].argmax() for _ in range(3)] == [1, 2, 3]


@pytest.mark.parametrize("name", ["LunarLander-v3", "Taxi-v4"])
def test_a_restored_one_goes_on_as_before(name: str) -> None:
    rng = np.random.default_rng(0)
    one, other = (make(name, 3, seed, limit=30) for seed in (1, 2))
    one.reset(), other.reset()
    for _ in range(40):
        one.step(rng.integers(one.actions, size=3))
    other.load_state_dict(one.state_dict())
    for _ in range(60):
        actions = rng.integers(one.actions, size=3)
        for left, right in zip(one.step(actions), other.step(actions), strict=True):
            assert np.array_equal(left, right)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("counters:Counter", {"fault": "continuous"}, r"actions: found Box\(.*\); expected Discrete\(n\); choose"),
        ("Pendulum-v1", {}, r"actions: found Box\(.*\); expected Discrete"),
        ("counters:Counter", {"fault": "words"}, r"observations: found Sequence\(.*\); expected numbers; wrap"),
        ("counters:Counter", {"fault": "raises"}, r"step 3: step raised ZeroDivisionError: the pole is gone; mend"),
        ("counters:Counter", {"fault": "nan"}, r"step 3: found an observation with nan; expected finite numbers"),
        ("counters:Counter", {"fault": "shape"}, r"step 3: found an observation of shape \(3,\); expected \(2,\)"),
        ("counters:Counter", {"fault": "reward"}, r"step 3: found a reward of inf; expected a finite one"),
        ("counters:Counter", {"fault": "unseeded"}, r"found two episodes of one seed that differ; expected chance"),
        ("counters:Counter", {"colour": "red"}, r"can't be made with {'colour': 'red'} \(TypeError: .*colour"),
        ("counters:Absent", {}, r"Absent lacks a package \(.*Box2D is not installed\); run `pip install -e"),
        ("counters:nothing", {}, r"counters:nothing is of type int; expected a gymnasium.Env; derive from it"),
        ("counters:Missing", {}, r"found 'counters:Missing'; .*; give an id of gymnasium's, or module:name"),
        ("nowhere_at_all:Missing", {}, r"found no module 'nowhere_at_all'; expected it on the path"),
        ("CartPool-v1", {}, r"found 'CartPool-v1'; .*CartPole"),
        ("LunarLander-v2", {}, r"found 'LunarLander-v2'; .*v3"),
    ],
)  # fmt: skip
def test_what_cant_be_learnt_from_is_refused_before_any_work(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message) as error:
        trial(name, 50, options)
    assert "\n" not in str(error.value)


def test_a_good_one_passes_its_trial() -> None:
    assert trial("CliffWalking-v1", 50, {}).states == 48
    assert isinstance(trial("counters:Counter", 50, {}), Gymnasium)


def test_one_that_never_ends_is_cut_and_named(capsys: pytest.CaptureFixture[str]) -> None:
    trial("counters:Counter", 20_000, {"ends": False})
    said = "counters:Counter: no episode ended in 1,000 random steps; it is cut after 20,000 (data.limit)\n"
    assert capsys.readouterr().out == said
    trial("counters:Counter", 20_000, {})
    assert capsys.readouterr().out == ""


def test_without_gymnasium_ours_work_and_others_name_the_extra() -> None:
    code = """
import sys
sys.modules["gymnasium"] = None
from pipelines.control.data.environments import make
from roadmap.io.errors import UsageError
for name in ("CartPole-v1", "Acrobot-v1", "MountainCar-v0", "FrozenLake-v1", "CliffWalking-v1"):
    make(name, 2, 0).reset([1, 2])
try:
    make("Taxi-v4", 2, 0)
except UsageError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == (
        "projects.control.data.environment: found no package gymnasium; run `pip install -e '.[control]'`\n"
    )


def test_one_of_an_installed_package_is_found_by_its_entry_point(tmp_path: Path) -> None:
    info = tmp_path / "counters-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: counters\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[roadmap.environments]\ncounting = counters:Counter\n")
    environment = trial("counting", 50, {})
    assert (environment.size, environment.actions) == (2, 2)
