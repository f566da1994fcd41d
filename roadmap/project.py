"""What a project must and may offer. Whoever writes one reads this file; `titanic` is the shortest to copy.

A project is a folder `pipelines/<name>/` with a class for each member, which derives from the class of that name here:

    settings.py     Data, Model   what params.yaml may say of the project (roadmap/config/settings.py)
    data/           Data          where rows come from, and what the network learns from them
    predict/        Predictor     requests in, answers out (roadmap/bundle/predictor.py)
    evaluate/       Evaluation    how good the answers are
    monitoring.py   Monitoring    what is watched in production
    behaviour.py    Behaviour     optional: what a good model does on cases made for the purpose
    report.py       Report        optional: the sections of the data report

Abstract methods must be written, the others have a default. mypy holds every project against these signatures. A stage
loads the members that it needs and no others: what it imports is what DVC runs it again for.
"""

# mypy: disable-error-code="type-abstract"
# mypy refuses an abstract class as an argument, lest it be called; `_load` calls none.

from __future__ import annotations

import importlib
import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

from roadmap.bundle.predictor import Predictor
from roadmap.io.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure

    from roadmap.config.settings import DataSettings, ModelSettings
    from roadmap.data.splits import PreparedData
    from roadmap.data.training_set import Fits, TrainingData
    from roadmap.evaluation.behavioural import BehaviouralCheck
    from roadmap.evaluation.evaluated import EvaluatedModel
    from roadmap.evaluation.scores import Score
    from roadmap.monitoring.reference.columns import Columns
    from roadmap.reporting.page import Section

Request = dict[str, Any]  # as JSON, before the predictor's `Request` has checked it
Schema = dict[str, Any]  # of the data, from card.json or the bundle's schema.json
Row = dict[str, Any]  # of a split: column -> value
Figures: TypeAlias = "Mapping[str, Figure]"  # file name without suffix -> plot

DataBlock = TypeVar("DataBlock", bound="DataSettings")
Answer = TypeVar("Answer")  # the predictor's `Response`
Asked = TypeVar("Asked", bound=Predictor)  # the project's own Predictor
Member = TypeVar("Member", bound=ABC)


class Data(ABC, Generic[DataBlock]):
    """pipelines/<name>/data: `class Data(project.Data[settings.Data])`."""

    @abstractmethod
    def prepare(self, data: DataBlock, profile: str, seed: int) -> PreparedData:
        """Raw data as splits and a data card. Of an environment: the seeds or start states of its episodes.

        Raises:
            UsageError: a file of the user's own that can't be read, or a row that breaks the schema.
        """

    @abstractmethod
    def training(self, folder: Path) -> TrainingData | Fits:
        """What the network learns from: a `TrainingSet` of arrays, or a `TrainingStream`.

        Of several networks, each trained after the other: {name: function of the networks so far}. `model` comes last,
        and the others are blocks of that name inside `model:` in params.yaml.
        """

    @abstractmethod
    def test_rows(self, folder: Path, split: str = "test") -> tuple[list[Request], np.ndarray]:
        """Requests of a split and their targets, [n]; `split` may be `recent`, where labels come back."""


class TakesLabels(ABC):
    """A second base of `Data`, where the truth of a request arrives later and makes it a row to train on."""

    @abstractmethod
    def labelled(self, asked: Request, schema: Schema) -> Row | None:
        """A logged request as a row without its target; None where it doesn't fit the schema."""


class Evaluation(ABC, Generic[Answer]):
    """pipelines/<name>/evaluate: `class Evaluation(project.Evaluation[Response])`."""

    @abstractmethod
    def score(self, targets: np.ndarray, outputs: Sequence[Answer]) -> Score:
        """The headline metric, answer by answer, and other metrics. targets: [n], as of `test_rows`"""

    def slices(self, requests: list[Request], targets: np.ndarray) -> Mapping[str, np.ndarray]:
        """Parts of the rows that must not get worse: name -> bool [n]."""
        return {}

    def fairness(self, requests: list[Request], targets: np.ndarray, outputs: Sequence[Answer]) -> dict[str, Any]:
        """How differently groups of people are treated, as `roadmap.evaluation.slices.fairness` says it."""
        return {}

    def baselines(self, folder: Path, seed: int) -> list[dict[str, Any]]:
        """Classical models on the same splits: `name`, `metric`, `test`, and what else is worth telling."""
        return []

    def figures(self, evaluated: EvaluatedModel) -> Figures:
        """What is worth seeing beside the learning curves and the baselines."""
        return {}


class Monitoring(ABC, Generic[Answer]):
    """pipelines/<name>/monitoring.py: `class Monitoring(project.Monitoring[Response])`."""

    @abstractmethod
    def inputs(self, requests: Sequence[Any]) -> Columns:
        """Columns whose drift is looked for. requests: of the predictor's own `Request`"""

    @abstractmethod
    def answers(self, found: Sequence[Answer]) -> Columns:
        """The same of the answers."""

    def requests(self, folder: Path) -> list[Request] | None:
        """What the reference is made of, where it is not the test rows."""
        return None


class Behaviour(ABC, Generic[Asked]):
    """pipelines/<name>/behaviour.py: `class Behaviour(project.Behaviour[Predictor])`."""

    def expectations(self, predictor: Asked, requests: list[Request]) -> Iterator[BehaviouralCheck]:
        """Checks in the style of CheckList. requests: of the test rows, to be changed"""
        yield from ()


class Report(ABC):  # noqa: B024, all of it has a default
    """pipelines/<name>/report.py: `class Report(project.Report)`."""

    def sections(self, folder: Path, card: dict[str, Any]) -> Sequence[Section] | None:
        """Of the data report; None for those of the task that `schema` names."""
        return None


@dataclass(frozen=True)
class Settings:
    """The types of a project's `data:` and `model:` in params.yaml."""

    data: type[DataSettings]
    model: type[ModelSettings]


@dataclass(frozen=True)
class Project:
    """The members of a project, each loaded when it is first asked for.

    Raises:
        UsageError: a member is missing, or lacks what it must have.
    """

    name: str

    @cached_property
    def settings(self) -> Settings:
        """Its own error, since params.yaml is where the project was named."""
        try:
            module = importlib.import_module(f"pipelines.{self.name}.settings")
        except ModuleNotFoundError as error:
            found = f"needs pipelines/{self.name}/settings.py ({error})"
            raise UsageError(f"params.yaml: projects.{self.name}: {found}") from None
        return Settings(module.Data, module.Model)

    @cached_property
    def data(self) -> Data[Any]:
        return self._load("data", Data)()

    @cached_property
    def predictor(self) -> type[Predictor]:
        return self._load("predict", Predictor)

    @cached_property
    def evaluation(self) -> Evaluation[Any]:
        return self._load("evaluate", Evaluation)()

    @cached_property
    def monitoring(self) -> Monitoring[Any]:
        return self._load("monitoring", Monitoring)()

    @cached_property
    def behaviour(self) -> Behaviour[Any]:
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
            said = ", ".join(f"{method}(...)" for method in missing)
            raise UsageError(f"{where}: {member.__name__} has no {said}; see roadmap/project.py")
        return found


def load_project(name: str) -> Project:
    return Project(name)
