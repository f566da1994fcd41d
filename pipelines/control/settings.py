"""Types and ranges of params.yaml's `projects.control`."""

from typing import Literal

from pydantic import Field

from roadmap.config.settings import DataSettings, ModelSettings

Width = Field(64, ge=1, le=4096, description="of the two hidden layers")
Rate = Field(gt=0, le=1, description="of the optimizer; it falls to 0 by steps")
Gamma = Field(0.99, gt=0, le=1)
Lambda = Field(0.95, ge=0, le=1, description="of generalised advantages; 1: the return minus the value")
Count = Field(ge=1, le=65_536)


class Data(DataSettings):
    """`split` is of the start seeds: test seeds are kept back, and training draws its own."""

    choice = "environment"

    environment: str = Field(
        pattern=r"^[\w./-]+(:[\w./-]+)?$", description="an id of gymnasium's, or module:name of your own"
    )
    options: dict[str, bool | int | float | str] = Field({}, description="keyword arguments of the environment")
    limit: int = Field(10_000, ge=1, le=1_000_000, description="steps after which an episode is cut, at the latest")
    starts: int = Field(ge=30, le=100_000, description="seeds of episodes")


class Agent(ModelSettings):
    """What all have."""

    strategies = ()  # an agent learns from its own episodes

    environments: int = Field(ge=1, le=4096, description="episodes side by side")
    discount: float = Gamma

    @classmethod
    def of(cls, target: str) -> type[ModelSettings]:
        return AGENTS.get(target, cls)


class QTable(Agent):
    batches: int = Field(ge=1, le=1_000_000, description="steps of each episode in an epoch")
    explore: int = Field(ge=1, description="steps in which random actions become rare")
    least: float = Field(0.1, ge=0, le=1, description="share of random actions in the end")
    power: float = Field(0.7, ge=0, le=1, description="the n-th update of an entry has the step size n^-power")
    on_policy: bool = Field(False, description="SARSA; false: Q-learning")


class Network(Agent):
    hidden: int = Width
    lr: float = Rate


class Model(Network):
    """models/control/ppo.py"""

    steps: int = Count
    rollouts: int = Field(ge=1, le=65_536, description="of an epoch")
    passes: int = Field(4, ge=1, le=100)
    trace: float = Lambda
    anneal: bool = True
    clip: float | None = Field(0.2, gt=0, description="null: none")
    clip_value: bool = False
    normalise: bool = Field(True, description="advantages of a minibatch have mean 0 and deviation 1")
    entropy: float = Field(0.0, ge=0)
    value: float = Field(0.5, ge=0)
    orthogonal: bool = True
    scale: bool = Field(False, description="observations and rewards brought to one scale")
    shaping: Literal["mountain_car"] | None = Field(None, description="a potential, whose differences training adds")


class A2C(Network):
    steps: int = Count
    rollouts: int = Field(ge=1, le=65_536, description="of an epoch")
    trace: float = Field(1.0, ge=0, le=1)
    entropy: float = Field(0.0, ge=0)
    value: float = Field(0.25, ge=0)
    scale: bool = False


class REINFORCE(Network):
    batches: int = Field(ge=1, le=65_536, description="steps of the optimizer in an epoch")
    baseline: bool = True
    scale: bool = False


class DQN(Network):
    batches: int = Field(ge=1, le=1_000_000, description="of an epoch")
    every: int = Field(1, ge=1, description="steps of each episode between two batches")
    capacity: int = Field(ge=1, le=10_000_000, description="transitions that are kept")
    start: int = Field(ge=1, description="transitions before the first batch")
    explore: int = Field(ge=1, description="steps in which random actions become rare")
    least: float = Field(0.05, ge=0, le=1, description="share of random actions in the end")
    renew: int = Field(ge=1, description="batches between two copies into the target network")
    double: bool = False
    duelling: bool = False
    prioritised: bool = False


AGENTS: dict[str, type[Agent]] = {
    "models.control.ppo.PPO": Model,
    "models.control.a2c.A2C": A2C,
    "models.control.reinforce.REINFORCE": REINFORCE,
    "models.control.dqn.DQN": DQN,
    "models.control.q_table.QTable": QTable,
}
