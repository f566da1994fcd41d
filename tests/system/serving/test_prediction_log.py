"""The prediction log of a server with several workers: SIGTERM loses nothing."""

from collections import Counter
from pathlib import Path

from tests.support import bundles
from tests.support.predictions import read
from tests.support.servers import serving


def test_sigterm_loses_nothing(tmp_path: Path) -> None:
    artifacts = bundles.make_all(tmp_path / "artifacts")
    log, requests = str(tmp_path / "log"), 40
    options = ["--workers", "2", "--predictions", log, "--predictions-spool", str(tmp_path / "spool")]
    with serving(tmp_path / "errors", str(artifacts), *options) as server:
        for number in range(requests):
            sent = {"inputs": [{"class": "crew"}] * 2}
            header = {"X-Request-ID": f"request-{number}"}
            assert server.post("/models/titanic/predict", sent, patience=60, **header) == 200
    assert Counter(row.request_id for row in read(log)) == {f"request-{number}": 2 for number in range(requests)}
    assert not list(tmp_path.glob("spool/*/*"))
