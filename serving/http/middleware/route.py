"""The route template of a request."""

from typing import Any

from starlette.types import Scope


def template(scope: Scope) -> str:
    """The path template of the matched route, such as "/models/{name}/predict"; "none" if none matched.

    Starlette records the endpoint but not the route, so it is looked up, once per function.
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
