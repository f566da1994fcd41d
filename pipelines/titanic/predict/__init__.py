"""Titanic over HTTP: one person in, the probability of survival out. No torch."""

from collections.abc import Sequence

from pydantic import BaseModel, Field

from pipelines.titanic.predict.features import derive
from roadmap.bundle import Bundle
from roadmap.inference.tabular import TabularPredictor


class Response(BaseModel):
    label: str = Field(description="the more likely class")
    probability: float = Field(description="of the second class, such as 'survived'")


class Predictor(TabularPredictor):
    Response = Response
    derive = staticmethod(derive)

    def __init__(self, bundle: Bundle) -> None:
        super().__init__(bundle)
        self.classes: list[str] = bundle.json("schema.json")["classes"]

    def predict(self, inputs: Sequence[BaseModel]) -> list[BaseModel]:
        probabilities = self.outputs(inputs).tolist()
        return [Response(label=self.classes[p >= 0.5], probability=p) for p in probabilities]
