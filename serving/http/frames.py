"""The bodies that MLflow's scoring servers take at /invocations: a pandas frame by rows or by columns, or instances.

    {"dataframe_split": {"columns": ["area_m2"], "data": [[90]]}}   {"dataframe_records": [{"area_m2": 90}]}

https://mlflow.org/docs/latest/ml/deployment/deploy-model-locally
"""

from roadmap.io.json import JsonObject
from serving.errors import Place, Refusal, pointer

SPLIT = "dataframe_split"
KEYS = (SPLIT, "dataframe_records", "instances")


def key(body: object) -> str | None:
    """Which of these bodies it is."""
    return next((name for name in KEYS if isinstance(body, dict) and name in body), None)


def rows(body: JsonObject, name: str) -> list[object]:
    """The inputs, not validated yet.

    Raises:
        Refusal: 422, pointing at what is no frame.
    """
    for other, value in body.items():
        if other != name and value not in (None, {}):  # "params" may be empty
            raise _refused((other,), f"is not a known field beside {name}")
    frame = body[name]
    if name != SPLIT:
        if not isinstance(frame, list):
            raise _refused((name,), "should be a list of rows")
        return frame
    columns, data = (frame.get(member) if isinstance(frame, dict) else None for member in ("columns", "data"))
    if not isinstance(columns, list) or not all(isinstance(column, str) for column in columns):
        raise _refused((name, "columns"), "should be a list of names")
    if len(set(columns)) < len(columns):
        raise _refused((name, "columns"), "a name appears twice")
    if not isinstance(data, list):
        raise _refused((name, "data"), "should be a list of rows")
    for number, row in enumerate(data):
        if not isinstance(row, list) or len(row) != len(columns):
            raise _refused((name, "data", number), f"should be a list of {len(columns)} values, one per column")
    return [dict(zip(columns, row, strict=True)) for row in data]


def place(body: JsonObject, name: str, found: Place) -> Place:
    """Where in the body a place within the rows is: (0, "area_m2") -> ("dataframe_split", "data", 0, 0)."""
    if name != SPLIT:
        return (name, *found)
    columns = body[name]["columns"]
    row, *rest = found or (0,)
    cell = [columns.index(rest[0]), *rest[1:]] if rest and rest[0] in columns else []
    return (name, "data", row, *cell) if found else (name, "data")


def _refused(where: Place, detail: str) -> Refusal:
    return Refusal(
        422, f"{'/'.join(map(str, where))}: {detail}", errors=[{"pointer": pointer(where), "detail": detail}]
    )
