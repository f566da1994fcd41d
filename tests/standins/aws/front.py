"""One endpoint for all of AWS: requests go to the stand-in of the service that they are signed for, else to moto.

Used as `python -m infra.deploy ... endpoint=<this address>`.
"""

import http.client
import re
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from tests.standins.protocol_server import Reply, Request, running

SIGNED = re.compile(r"Credential=[^/]+/\d+/[\w-]+/([\w-]+)/aws4_request")
METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH")
OURS = {"connection", "content-length", "date", "server", "transfer-encoding"}  # headers that this server writes


@contextmanager
def front(places: dict[str, str], moto: str) -> Iterator[str]:
    """
    Args:
        places: service, as signatures name it -> address.
    """

    def passed_on(request: Request, _: str) -> Reply:
        found = SIGNED.search(request.headers.get("Authorization", ""))
        place = urlsplit(places.get(found[1] if found else "", moto))
        connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=60)
        headers = {key: value for key, value in request.headers.items() if key.lower() != "transfer-encoding"}
        try:
            connection.request(request.method, request.target, request.body, headers)
            answer = connection.getresponse()
            headers = {key: value for key, value in answer.getheaders() if key.lower() not in OURS}
            reply = Reply(answer.status, answer.read())
            reply.headers = headers
            return reply
        finally:
            connection.close()

    with running([(method, "(.*)", passed_on) for method in METHODS], []) as address:
        yield address
