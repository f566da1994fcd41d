"""From a row of a file to a request."""

from pydantic import BaseModel, ValidationError

from roadmap.io.json import JsonObject
from serving.errors import MAX_ERRORS, describe, pointer
from serving.runtime.cells import Columns

Faults = list[dict[str, str]]


class InvalidRow(Exception):
    """A row that is no request; `faults` say where and why."""

    def __init__(self, faults: Faults) -> None:
        super().__init__(faults)
        self.faults = faults


class Requests:
    """Makes requests of rows. Columns that the request doesn't know are left aside."""

    def __init__(self, request: type[BaseModel], columns: Columns, source: str, delimiter: str = ",") -> None:
        """source: the format; rows of JSON Lines are taken as they are, as the server takes them"""
        self.request, self.columns, self.source, self.delimiter = request, columns, source, delimiter

    def parse(self, row: JsonObject) -> BaseModel:
        """
        Raises:
            InvalidRow: the row doesn't fit.
        """
        kinds = self.columns.kinds
        if self.source == "jsonl":
            content = {name: row[name] for name in kinds if name in row}
        elif self.source == "csv":
            content = self.columns.request(row, self.delimiter)
        else:
            given = (name for name in kinds if name in row and (self.columns.tabular or row[name] is not None))
            content = {name: self.typed(name, row[name]) for name in given}
        try:
            return self.request.model_validate(content)
        except ValidationError as error:
            found = error.errors(include_url=False)[:MAX_ERRORS]
            raise InvalidRow([{"pointer": pointer(one["loc"]), "detail": describe(one)} for one in found]) from None

    def typed(self, name: str, cell: object) -> object:
        """A cell of Parquet as JSON has it: of text, what the field takes."""
        if isinstance(cell, str):
            return self.columns.value(name, cell)
        if isinstance(cell, float) and "number" not in self.columns.kinds[name] and cell.is_integer():
            return int(cell)  # many tools make a column of integers with gaps one of floats
        return cell
