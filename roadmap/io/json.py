"""JSON as Python has it, for signatures."""

from typing import Any

# An object whose members are checked where it is read, or that is only passed on.
JsonObject = dict[str, Any]
