"""From a row of a file to a request."""

from typing import Any

from pydantic import BaseModel, ValidationError

from serving.errors import MAX_ERRORS, pointer, words
from serving.runtime.cells import Columns, value

Faults = list[dict[str, str]]


class InvalidRow(Exception):
    """A row that is no request; `faults` say where and why."""

    def __init__(self, faults: Faults) -> None:
        super().__init__(faults)
        self.faults = faults


class Requests:
    """Makes requests of rows. Columns that the request doesn't know are left aside."""

    def __init__(self, request: type[BaseModel], from_json: bool) -> None:
        """`from_json`: the rows are taken as they are, as the server takes them."""
        self.request, self.from_json = request, from_json
        self.columns = Columns(request)

    def of(self, row: dict[str, Any]) -> BaseModel:
        """
        Raises:
            Refused: the row doesn't fit.
        """
        kinds = self.columns.kinds
        if self.from_json:
            content = {name: row[name] for name in kinds if name in row}
        else:  # what is empty is not given
            content = {name: typed(row[name], kinds[name]) for name in kinds if row.get(name) is not None}
        try:
            return self.request.model_validate(content)
        except ValidationError as error:
            found = error.errors(include_url=False)[:MAX_ERRORS]
            raise InvalidRow([{"pointer": pointer(one["loc"]), "detail": words(one)} for one in found]) from None


def typed(cell: Any, kinds: frozenset[str]) -> Any:
    """A cell as JSON has it: of text, what the field takes."""
    if isinstance(cell, str):
        return value(cell, kinds)
    if isinstance(cell, float) and "number" not in kinds and cell.is_integer():
        return int(cell)  # many tools make a column of integers with gaps one of floats
    return cell
