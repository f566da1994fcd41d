from pathlib import Path

from pipelines.throw_away import settings

from roadmap.data import tables
from roadmap.data.splits import PreparedData
from roadmap.data.tabular import TabularData, TabularDataset
from roadmap.data.training_set import TrainingSet


class Data(TabularData[settings.Data]):
    def prepare(self, data: settings.Data, profile: str, seed: int) -> PreparedData:
        from sklearn.datasets import load_breast_cancer

        frame = load_breast_cancer(as_frame=True).frame
        return tables.prepare(
            frame,
            "target",
            "binary",
            source="scikit-learn's breast cancer",
            licence="CC BY 4.0",
            shares=data.split,
            seed=seed,
            classes=["malignant", "benign"],
        )

    def training(self, folder: Path) -> TrainingSet:
        table = TabularDataset.load(folder, lambda columns: columns)
        return TrainingSet(
            train=(table.x["train"], table.y["train"]),
            val=(table.x["val"], table.y["val"]),
            model={"in_features": table.x["train"].shape[1]},
            assets=table.assets(),
        )
