"""Control over HTTP: an observation in, an action out. No torch.

The caller keeps the episode: every request stands alone. Actions are the policy's best; `explore` lets some be random,
so that the log can tell what another policy would have earned (pipelines/control/off_policy.py).
"""

from collections.abc import Sequence
from typing import Annotated, Any, Protocol

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, create_model

from roadmap import bundle
from roadmap.bundle import Bundle
from roadmap.bundle.predictor import Note
from roadmap.io.json import JsonObject

LARGEST = 1e30


def _outward(end: float, side: int) -> float:
    """The end of a slider: two digits, and a little beyond."""
    return float(f"{end + side * 0.05 * abs(end) + side * 1e-3:.2g}")


class Input(Protocol):
    """What `Predictor.Request` validates."""

    observation: list[float] | int
    explore: float
    seed: int | None


class Response(BaseModel):
    action: int = Field(description="its number, to hand to the environment")
    name: str = Field(description="what the action is called")
    probability: float = Field(description="how likely this action was to be given: 1 without `explore`")
    probabilities: dict[str, float] = Field(description="of each action, as the policy weighs them")
    value: float = Field(description="the return that the policy expects from here, discounted")


class Predictor(bundle.Predictor):
    Response: type[BaseModel] = Response

    def __init__(self, bundle: Bundle) -> None:
        schema = bundle.json("schema.json")
        self.environment: str = schema["environment"]
        self.options: JsonObject = schema["options"]
        self.states: int | None = schema["states"]
        self.names: list[str] = schema["actions"]
        self.parts: list[str] = schema["observations"]
        self.visited = bundle.json("visited.json")
        self.Request = create_model(
            "control_request",
            __config__=ConfigDict(extra="forbid", json_schema_extra={"example": bundle.example[0]}),
            observation=(self._kind(), ...),
            explore=(
                float,
                Field(0.0, strict=True, ge=0, le=1, description="share of actions that are drawn at random, all alike"),
            ),
            seed=(int | None, Field(None, strict=True, ge=0, lt=2**63, description="of that draw")),
            episode=(str | None, Field(None, max_length=100, description="the caller's name of it, for the log")),
            step=(int | None, Field(None, strict=True, ge=0, lt=2**31, description="of the episode, from 0")),
        )
        self.session = bundle.session()

    def _kind(self) -> Any:
        """Its JSON schema tells a page which world it is of, and the names of the numbers and where they were seen."""
        world: dict[str, Any] = {"x-environment": self.environment, "x-options": self.options}
        if self.states is not None:
            last, said = self.states - 1, "the number of the state"
            return Annotated[int, Field(strict=True, ge=0, le=last, description=said, json_schema_extra=world)]
        size, ends = len(self.parts), zip(self.visited["low"], self.visited["high"], strict=True)
        number = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=-LARGEST, le=LARGEST)]
        world["x-parts"] = [
            {"title": name, "x-seen": [_outward(low, -1), _outward(high, 1)]}
            for name, (low, high) in zip(self.parts, ends, strict=True)
        ]
        about = Field(min_length=size, max_length=size, description=", ".join(self.parts), json_schema_extra=world)
        return Annotated[list[number], about]

    def vectors(self, observations: Sequence[list[float] | int]) -> np.ndarray:
        """float32 [n, size]; states as vectors"""
        if self.states is None:
            return np.array(observations, np.float32).reshape(len(observations), len(self.parts))
        return np.eye(self.states, dtype=np.float32)[np.array(observations, np.int64)]

    def weigh(self, observations: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """float32 [n, size] -> probabilities [n, actions], values [n]"""
        probabilities, values = self.session.run(["probabilities", "values"], {"observations": observations})
        return probabilities, values

    def predict(self, inputs: Sequence[Input]) -> list[BaseModel]:
        if not inputs:
            return []
        probabilities, values = self.weigh(self.vectors([one.observation for one in inputs]))
        best = probabilities.argmax(axis=1)
        rows = zip(inputs, best.tolist(), probabilities.tolist(), values.tolist(), strict=True)
        return [self._answer(*row) for row in rows]

    def _answer(self, request: Input, best: int, probabilities: list[float], value: float) -> BaseModel:
        action = best
        if request.explore:
            rng = np.random.default_rng(request.seed)
            action = int(rng.integers(len(self.names))) if rng.random() < request.explore else best
        return Response(
            action=action,
            name=self.names[action],
            probability=request.explore / len(self.names) + (1 - request.explore) * (action == best),
            probabilities=dict(zip(self.names, probabilities, strict=True)),
            value=value,
        )

    def notes(self, request: Input) -> list[Note]:
        """Observations that its own episodes never come near."""
        seen = self.visited
        if isinstance(request.observation, int):
            known = request.observation in seen["states"]
            return [] if known else [Note("observation", "unseen", f"state {request.observation} was never visited")]
        rows = zip(self.parts, request.observation, seen["low"], seen["high"], strict=True)
        return [
            Note("observation", "unseen", f"{name} {value:g} is outside {low:.3g} to {high:.3g}, where it goes")
            for name, value, low, high in rows
            if not low <= value <= high
        ]
