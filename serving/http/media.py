"""Media types of requests."""

from starlette.requests import Request

from serving.errors import Refusal, cut

UTF8 = ("utf-8", "utf8", "us-ascii")

Options = dict[str, str]


def media(text: str) -> tuple[str, Options]:
    """A media type and its parameters, in lower case."""
    kind, *options = text.lower().split(";")
    return kind.strip(), {name.strip(): value.strip(' "') for name, _, value in (one.partition("=") for one in options)}


def sent(request: Request) -> str:
    """The media type of the body; empty if the request has none."""
    return media(request.headers.get("content-type", ""))[0]


def json_only(request: Request) -> None:
    """Requires JSON. FastAPI would treat another type as a string and report a misleading error.

    Raises:
        Refusal: 415.
    """
    kind = sent(request)
    if kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
        came = f"as {cut(kind)}" if kind else "without a content type"
        raise Refusal(415, f"send the body as application/json; this one came {came}")


def utf8_only(options: Options) -> None:
    """Raises: Refusal: 415, another charset."""
    if (charset := options.get("charset", "utf-8")) not in UTF8:
        raise Refusal(415, f"charset: found {cut(charset)}; expected UTF-8")
