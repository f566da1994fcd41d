from collections.abc import Sequence

from pydantic import BaseModel

from roadmap.inference.tabular import TabularPredictor


class Response(BaseModel):
    probability: float


class Predictor(TabularPredictor):
    Response = Response
    derive = staticmethod(lambda columns: columns)

    def predict(self, inputs: Sequence[BaseModel]) -> list[BaseModel]:
        return [Response(probability=p) for p in self.outputs(inputs).tolist()]
