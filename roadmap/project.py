"""The contract of a project: required and optional members. `titanic` is the shortest example.

A project is a folder `pipelines/<name>/` with one class per member, derived from the class of the same name here:

    settings.py     Data, Model   the project's keys in params.yaml (roadmap/config/settings.py)
    data/           Data          raw data, splits and training data
    predict/        Predictor     requests in, responses out (roadmap/bundle/predictor.py)
    evaluate/       Evaluation    metrics, slices, baselines and plots
    monitoring.py   Monitoring    monitored columns
    behaviour.py    Behaviour     optional: behavioural checks
    report.py       Report        optional: sections of the data report

Abstract methods are required, the others have a default. mypy checks every project against these signatures. A stage
loads only the members that it needs, because its imports are its dependencies in DVC.
"""

# mypy: disable-error-code="type-abstract"
# mypy rejects abstract classes as arguments, because they might be instantiated; `_load` instantiates none.

from __future__ import annotations

import importlib
import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

from roadmap.bundle.bundle import Bundle
from roadmap.bundle.predictor import Predictor
from roadmap.io.errors import UsageError
from roadmap.io.json import JsonObject

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure
    from pydantic import BaseModel

    from roadmap.config.settings import DataSettings, ModelSettings
    from roadmap.data.splits import PreparedData
    from roadmap.data.training_set import Fits, TrainingData
    from roadmap.evaluation.behavioural import BehaviouralCheck
    from roadmap.evaluation.evaluated import EvaluatedModel
    from roadmap.evaluation.scores import Score
    from roadmap.monitoring.reference.columns import Columns
    from roadmap.reporting.page import Section

Request = JsonObject  # as JSON, before validation by the predictor's `Request`
Schema = JsonObject  # of the data, from card.json or the bundle's schema.json
Row = JsonObject  # of a split: column -> value
Figures: TypeAlias = "Mapping[str, Figure | str]"  # file name without suffix -> plot, or an SVG that may move

DataBlock = TypeVar("DataBlock", bound="DataSettings")
Answer = TypeVar("Answer")  # the predictor's `Response`
Asked = TypeVar("Asked", bound=Predictor)  # the project's own Predictor
Member = TypeVar("Member", bound=ABC)


class Data(ABC, Generic[DataBlock]):
    """pipelines/<name>/data: `class Data(project.Data[settings.Data])`."""

    @abstractmethod
    def prepare(self, data: DataBlock, profile: str, seed: int) -> PreparedData:
        """Raw data as splits and a data card. For an environment: seeds or initial states of its episodes.

        Raises:
            UsageError: a user's own file is unreadable, or a row violates the schema.
        """

    @abstractmethod
    def training(self, folder: Path) -> TrainingData | Fits:
        """The training data: a `TrainingSet` of arrays, or a `TrainingStream`.

        For several networks in sequence: {name: function of the earlier networks}. `model` is the last, and the others
        are blocks of their name inside `model:` in params.yaml.
        """

    @abstractmethod
    def test_rows(self, folder: Path, split: str = "test") -> tuple[list[Request], np.ndarray]:
        """Requests of a split and their targets, [n]; `split` may be `recent`, the collected labels, or
        `train`, to calibrate quantised graphs."""


class TakesLabels(ABC):
    """A second base of `Data`, if labels arrive later and turn requests into training rows."""

    @abstractmethod
    def labelled(self, request: Request, schema: Schema) -> Row | None:
        """A logged request as a row without its target; None if it doesn't match the schema."""


class Evaluation(ABC, Generic[Answer]):
    """pipelines/<name>/evaluate: `class Evaluation(project.Evaluation[Response])`."""

    @abstractmethod
    def score(self, targets: np.ndarray, outputs: Sequence[Answer]) -> Score:
        """The headline metric per response, and further metrics. targets: [n], from `test_rows`

        outputs: of the test rows, or what `played` returns
        """

    def played(self, predictor: Predictor, targets: np.ndarray) -> Sequence[Answer] | None:
        """What is scored if not the responses to the test rows: episodes that the predictor plays. targets: [n]"""
        return None

    def slices(self, requests: list[Request], targets: np.ndarray) -> Mapping[str, np.ndarray]:
        """Slices that must not regress: name -> bool [n]."""
        return {}

    def fairness(self, requests: list[Request], targets: np.ndarray, outputs: Sequence[Answer]) -> JsonObject:
        """Fairness metrics, from `roadmap.evaluation.slices.fairness`. targets: [n]"""
        return {}

    def baselines(self, folder: Path, seed: int) -> list[JsonObject]:
        """Classical baselines on the same splits: `name`, `metric`, `test`, and optional further figures."""
        return []

    def figures(self, evaluated: EvaluatedModel) -> Figures:
        """Plots in addition to the learning curves and the baselines."""
        return {}


class Monitoring(ABC, Generic[Answer]):
    """pipelines/<name>/monitoring.py: `class Monitoring(project.Monitoring[Response])`."""

    @abstractmethod
    def inputs(self, requests: Sequence[Any]) -> Columns:
        """Monitored input columns. requests: of the predictor's `Request`"""

    @abstractmethod
    def answers(self, found: Sequence[Answer]) -> Columns:
        """Monitored output columns."""

    def requests(self, folder: Path, bundle: Bundle) -> list[Request] | None:
        """Requests for the reference, if other than the test rows."""
        return None


class Behaviour(ABC, Generic[Asked]):
    """pipelines/<name>/behaviour.py: `class Behaviour(project.Behaviour[Predictor])`."""

    def expectations(self, predictor: Asked, requests: list[Request]) -> Iterator[BehaviouralCheck]:
        """Behavioural checks (CheckList). requests: of the test rows, to modify"""
        yield from ()


class Report(ABC):  # noqa: B024, all of it has a default
    """pipelines/<name>/report.py: `class Report(project.Report)`."""

    def sections(self, folder: Path, card: JsonObject) -> Sequence[Section] | None:
        """Sections of the data report; None for those of the task in `schema`."""
        return None


@dataclass(frozen=True)
class Settings:
    """The types of a project's `data:` and `model:` in params.yaml."""

    data: type[DataSettings]
    model: type[ModelSettings]


@dataclass(frozen=True)
class Project:
    """The members of a project, each loaded on first access.

    Raises:
        UsageError: a member or one of its required methods is missing.
    """

    name: str

    @cached_property
    def settings(self) -> Settings:
        """With its own error, because params.yaml names the project.

        Raises:
            UsageError: params.yaml names a project without settings.py.
        """
        try:
            module = importlib.import_module(f"pipelines.{self.name}.settings")
        except ModuleNotFoundError as error:
            found = f"needs pipelines/{self.name}/settings.py ({error})"
            raise UsageError(f"params.yaml: projects.{self.name}: {found}") from None
        return Settings(module.Data, module.Model)

    @cached_property
    def data(self) -> Data[DataSettings]:
        return self._load("data", Data)()

    @cached_property
    def predictor(self) -> type[Predictor]:
        return self._load("predict", Predictor)

    @cached_property
    def evaluation(self) -> Evaluation[BaseModel]:
        return self._load("evaluate", Evaluation)()

    @cached_property
    def monitoring(self) -> Monitoring[BaseModel]:
        return self._load("monitoring", Monitoring)()

    @cached_property
    def behaviour(self) -> Behaviour[Predictor]:
        return self._load("behaviour", Behaviour, optional=True)()

    @cached_property
    def report(self) -> Report:
        return self._load("report", Report, optional=True)()

    def _load(self, module: str, member: type[Member], optional: bool = False) -> type[Member]:
        name, where = f"pipelines.{self.name}.{module}", f"pipelines/{self.name}/{module}"
        if importlib.util.find_spec(name) is None:
            if optional:
                return member
            raise UsageError(f"{where}: not there; it must have a class {member.__name__}, see roadmap/project.py")
        found = vars(importlib.import_module(name)).get(member.__name__)
        if not (isinstance(found, type) and issubclass(found, member)):
            raise UsageError(f"{where}: has no class {member.__name__} that derives from roadmap/project.py's")
        if missing := sorted(found.__abstractmethods__):
            methods = ", ".join(f"{method}(...)" for method in missing)
            raise UsageError(f"{where}: {member.__name__} has no {methods}; see roadmap/project.py")
        return found


def load_project(name: str) -> Project:
    return Project(name)
