"""Which route answered a request."""

from typing import Any

from starlette.types import Scope


def template(scope: Scope) -> str:
    """The path of the route that answered, with its parameters' names: "/models/{name}/predict"; "none" where none did.

    Starlette says which function answered and not which route, so it is looked up, once per function.
    """
    endpoint = scope.get("endpoint")
    if endpoint is None:
        return "none"
    templates: dict[Any, str] = scope["app"].state.templates
    if endpoint not in templates:
        templates[endpoint] = next(
            (r.path for r in scope["app"].routes if getattr(r, "endpoint", None) is endpoint), "none"
        )
    return templates[endpoint]
