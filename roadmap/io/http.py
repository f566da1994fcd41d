"""The HTTP client for other services: always a timeout, one typed error.

Built on requests, which handles proxies, certificates and redirects, and drops credentials on a change of host.
"""

import base64
import contextlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from requests import Response

SECONDS = 30.0
SHOWN = 2000  # characters of an error response that the exception keeps
PASSING = frozenset({429, 500, 502, 503, 504})


class HttpError(Exception):
    """A request failed.

    status     of the response; None if there was none
    said       the beginning of the response body, or why there was no response
    """

    def __init__(self, method: str, url: str, status: int | None, detail: str) -> None:
        self.method, self.url, self.status, self.detail = method, url, status, detail
        super().__init__(f"{method} {url}: {f'{status}: {detail}' if status else f'no response ({detail})'}")

    @property
    def passing(self) -> bool:
        """Whether a retry may succeed."""
        return self.status is None or self.status in PASSING


@dataclass(frozen=True)
class Answer:
    status: int
    url: str  # after redirects
    headers: Mapping[str, str]
    content: bytes

    def json(self) -> Any:
        """The body as JSON of whatever kind; None if it is empty.

        Raises:
            ValueError: the body is not JSON.
        """
        return json.loads(self.content or b"null")


def ask(
    url: str,
    body: object = None,
    *,
    method: str | None = None,
    headers: Mapping[str, str] | None = None,
    seconds: float = SECONDS,
    pauses: Sequence[float] = (),
    limit: int | None = None,
) -> Answer:
    """
    Args:
        body: bytes are sent as is, anything else as JSON; the method is then POST by default.
        seconds: timeout of the connection, and between two chunks of the response.
        pauses: seconds before each retry of a transient failure.
        limit: most bytes of the response; a longer one is an error.

    Raises:
        HttpError: there is no response, or its status is 400 or above.
    """
    for pause in pauses:
        try:
            return _ask(url, body, method, headers, seconds, limit)
        except HttpError as error:
            if not error.passing:
                raise
            time.sleep(pause)
    return _ask(url, body, method, headers, seconds, limit)


def _ask(
    url: str, body: Any, method: str | None, headers: Mapping[str, str] | None, seconds: float, limit: int | None
) -> Answer:
    with opened(url, body, method=method, headers=headers, seconds=seconds) as response:
        content = response.content if limit is None else bytes(next(response.iter_content(limit + 1), b""))
        if limit is not None and len(content) > limit:
            raise HttpError(response.request.method or "GET", url, None, f"the response has more than {limit} bytes")
        return Answer(response.status_code, response.url, response.headers, content)


@contextlib.contextmanager
def opened(
    url: str,
    body: object = None,
    *,
    method: str | None = None,
    headers: Mapping[str, str] | None = None,
    seconds: float = SECONDS,
) -> Iterator["Response"]:
    """The response before its body is read, for large or endless ones.

    Raises:
        HttpError: as `ask`; also inside the block, if the connection breaks.
    """
    import requests  # 0.1 s that most commands don't need

    verb = method or ("GET" if body is None else "POST")
    kind = (
        {}
        if body is None
        else {"Content-Type": "application/octet-stream" if isinstance(body, bytes) else "application/json"}
    )
    data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    try:
        with requests.request(
            verb, url, data=data, headers={**kind, **(headers or {})}, timeout=seconds, stream=True, auth=_as_given
        ) as response:
            if response.status_code >= 400:
                raise HttpError(verb, url, response.status_code, response.text[:SHOWN].strip())
            yield response
    except requests.RequestException as error:
        raise HttpError(verb, url, None, _reason(error)) from None


def _as_given(request: Any) -> Any:
    """Keeps requests from replacing our credentials by those of ~/.netrc."""
    return request


def basic(name: str, password: str) -> dict[str, str]:
    """The header of HTTP basic authentication."""
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


def _reason(error: Exception) -> str:
    """The message of the innermost cause, such as 'Connection refused'."""
    cause: Any = error
    while isinstance(inner := getattr(cause, "reason", None) or (cause.args[0] if cause.args else None), Exception):
        cause = inner
    return str(getattr(cause, "strerror", None) or cause or type(error).__name__)[:SHOWN]
