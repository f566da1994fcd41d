"""An environment's start seeds, some kept back, and experience that comes while it is learnt from."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from pipelines.control import settings
from pipelines.control.data.environments import Environment, OneHot, make
from pipelines.control.data.environments.trial import trial
from pipelines.control.data.names import ACTIONS, OBSERVATIONS, named
from roadmap import project
from roadmap.data import splits
from roadmap.data.splits import PreparedData, split_indices
from roadmap.data.training_set import TrainingStream
from roadmap.io.json import JsonObject
from roadmap.project import Request

if TYPE_CHECKING:
    from pytorch_lightning import LightningDataModule, LightningModule  # noqa: TID251 (types)

    from pipelines.control.data.stream import Agent
    from roadmap.config.settings import TrainSettings

VALIDATED = 50  # episodes after each epoch


class Data(project.Data[settings.Data]):
    def prepare(self, data: settings.Data, profile: str, seed: int) -> PreparedData:
        """Seeds of starts, and the first observation of each.

        Raises:
            UsageError: the environment is missing, or not one that can be learnt from.
        """
        environment = trial(data.environment, data.limit, data.options)
        # Far from the seeds that training draws: those are below 2^31.
        seeds = 2**31 + np.random.default_rng(seed).permutation(data.starts * 10)[: data.starts]
        parts = {
            name: {"seeds": seeds[rows], "observations": self._first(data, seeds[rows])}
            for name, rows in split_indices(data.starts, data.split, seed).items()
        }
        size = 0 if environment.states else environment.size
        schema: JsonObject = {
            "environment": data.environment,
            "options": dict(data.options),
            "limit": environment.limit,
            "states": environment.states,
            "observations": named(OBSERVATIONS, data.environment, size, "observation"),
            "actions": named(ACTIONS, data.environment, environment.actions, "action"),
        }
        return PreparedData(parts, f"environment:{data.environment}", "MIT", schema)

    def _first(self, data: settings.Data, seeds: np.ndarray) -> np.ndarray:
        return make(data.environment, len(seeds), 0, data.limit, data.options).reset(seeds.tolist())

    def training(self, folder: Path) -> TrainingStream:
        schema, val = splits.read_card(folder)["schema"], splits.read_arrays(folder, "val")
        starts = val["seeds"][:VALIDATED].tolist()
        example = for_network(val["observations"][:2], schema["states"])

        def module(train: "TrainSettings", seed: int) -> "LightningDataModule":
            from pipelines.control.data.stream import Stream

            return Stream(lambda n, seed: of_card(schema, n, seed), starts, train, seed)

        def assets(network: "LightningModule") -> JsonObject:
            from pipelines.control.data.stream import seen

            return {
                "schema.json": schema,
                "visited.json": seen(cast("Agent", network), of_card(schema, len(starts), 0), starts, schema["states"]),
                "example.json": [{"observation": row.tolist()} for row in val["observations"][:2]],
            }

        return TrainingStream(
            module=module,
            example=(example,),
            model={"observations": example.shape[1], "actions": len(schema["actions"])},
            assets=assets,
        )

    def test_rows(self, folder: Path, split: str = "test") -> tuple[list[Request], np.ndarray]:
        """First observations, and of each episode the seed and the environment: [n]"""
        rows, schema = splits.read_arrays(folder, split), splits.read_card(folder)["schema"]
        place = json.dumps({name: schema[name] for name in ("environment", "options", "limit")})
        targets = np.zeros(len(rows["seeds"]), [("seed", "i8"), ("place", f"U{len(place)}")])
        targets["seed"], targets["place"] = rows["seeds"], place
        return [{"observation": row.tolist()} for row in rows["observations"]], targets


def of_targets(targets: np.ndarray) -> Environment:
    """The environment that `test_rows` names, an episode for each row: [n]"""
    place = json.loads(str(targets["place"][0]))
    return make(place["environment"], len(targets), 0, place["limit"], place["options"])


def of_card(schema: JsonObject, n: int, seed: int) -> Environment:
    """n episodes of the environment that the data are of, as a network sees it."""
    made = make(schema["environment"], n, seed, schema["limit"], schema["options"])
    return made if made.states is None else OneHot(made)


def for_network(observations: np.ndarray, states: int | None) -> np.ndarray:
    """float32 [n, size]; states as vectors"""
    return observations if states is None else np.eye(states, dtype=np.float32)[observations]
