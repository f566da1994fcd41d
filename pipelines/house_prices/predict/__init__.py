"""House prices over HTTP: a row of the table in, its price out. No torch."""

from collections.abc import Sequence

from pydantic import BaseModel, Field

from pipelines.house_prices.predict.features import derive
from roadmap.inference.tabular import TabularPredictor


class Response(BaseModel):
    prediction: float = Field(description="the target column, in its own unit")


class Predictor(TabularPredictor):
    Response = Response
    derive = staticmethod(derive)

    def predict(self, inputs: Sequence[BaseModel]) -> list[BaseModel]:
        return [Response(prediction=value) for value in self.outputs(inputs).tolist()]
