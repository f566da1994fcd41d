"""The MLflow model: a bundle's Predictor as an MLflow pyfunc.

MLflow logs this file as code and runs it when it loads the model, so nothing is pickled.
"""

from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.pyfunc import PythonModel

from roadmap.bundle import Bundle, load_predictor


def plain(value: object) -> object:
    """A DataFrame cell as a JSON value: NaN becomes None, arrays become lists."""
    if isinstance(value, np.ndarray):
        return value.tolist() if value.dtype != object else [plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and np.isnan(value) else value


class BundleModel(PythonModel):
    def load_context(self, context: Any) -> None:
        self.predictor = load_predictor(Bundle(context.artifacts["bundle"]))

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> pd.DataFrame:
        rows = [{k: plain(v) for k, v in row.items()} for row in model_input.to_dict("records")]
        outputs = self.predictor.predict([self.predictor.Request.model_validate(row) for row in rows])
        return pd.DataFrame([output.model_dump() for output in outputs])


mlflow.models.set_model(BundleModel())
