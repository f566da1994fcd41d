"""A broken body is never a 5xx: it is answered, or refused by a problem that says in words what is wrong, and where."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import urlencode

import pytest
from fastapi.testclient import TestClient

from roadmap.bundle import Bundle
from serving.http.app import create_app
from serving.http.kserve.tensors import columns
from serving.settings import Settings

SEEDS = 40  # broken bodies of each kind
PROJECTS = ["house_prices", "imdb", "mnist", "stocks", "titanic"]
ODD = [
    "NaN", "-Infinity", "1e999", "-0", "9" * 400, "9" * 5000, "1.5", "true", "null", '""', '" "', '"\\ud800"', "'x'",
    '"\\u0000"', "[]", "[[]]", "{}", '{"a": 1, "a": 2}', "[" * 300 + "]" * 300, "[" * 100_000, '"é"',
    '"data:image/png;base64,AAAA"',
]  # fmt: skip
BYTES = [b"\xff", b"\x00", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\x1f\x8b", b"\r", b"\n\n", b"--x--", b"%zz"]
BYTES += [bytes([char]) for char in b'",;&=']
JSON, LINES, CSV = "application/json", "application/jsonlines", "text/csv"
MULTIPART, URLENCODED = "multipart/form-data; boundary=x", "application/x-www-form-urlencoded"
DOORS = [("predict", JSON), ("predict", MULTIPART), ("predict", URLENCODED)]
DOORS += [("invocations", JSON), ("invocations", LINES), ("invocations", CSV), ("infer", JSON)]


@pytest.fixture(scope="module")
def clients(artifacts: Path) -> Iterator[dict[str, TestClient]]:
    """A server per project, because /invocations is of one."""
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        for project in PROJECTS:
            patch.setenv("MODEL_PROJECT", project)
            app = create_app(Settings(bundles=str(artifacts / project), max_body_mb=1))
            found[project] = TestClient(app, raise_server_exceptions=False)
    yield found


def cells(row: dict[str, Any]) -> dict[str, str]:
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in row.items()}


def sound(rows: list[dict[str, Any]], door: str, kind: str) -> bytes:
    """A body that is answered."""
    if door == "infer":
        return json.dumps({"inputs": columns(rows, [])}).encode()
    if kind == JSON:
        return json.dumps({"inputs": rows}).encode()
    if kind == LINES:
        return "".join(json.dumps(row) + "\n" for row in rows).encode()
    if kind == CSV:
        quoted = ['"' + cell.replace('"', '""') + '"' for row in rows for cell in cells(row).values()]
        lines = [quoted[start : start + len(rows[0])] for start in range(0, len(quoted), len(rows[0]))]
        return "\n".join([",".join(rows[0]), *map(",".join, lines)]).encode()
    if kind == URLENCODED:
        return urlencode([item for row in rows for item in cells(row).items()]).encode()
    items = [item for row in rows for item in cells(row).items()]
    parts = [f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{cell}\r\n' for name, cell in items]
    return ("".join(parts) + "--x--\r\n").encode()


def broken(random: Random, body: bytes) -> bytes:
    """The body with something cut, doubled, replaced or put in."""
    for _ in range(random.randrange(1, 3)):
        at = random.randrange(len(body) + 1)
        end = min(len(body), at + random.choice([0, 1, 5, 40, 10**6]))
        what = random.randrange(5)
        if what == 0:
            body = body[:at] + body[end:]
        elif what == 1:
            body = body[:at] + body[at:end] * 2 + body[end:]
        elif what == 2:
            body = body[:at] + random.choice(BYTES) + body[end if random.random() < 0.3 else at :]
        elif what == 3:  # a value of JSON in place of another
            found = [n for n, char in enumerate(body) if char in b":[,"]
            if found:
                start = random.choice(found) + 1
                stop = next((n for n in range(start, len(body)) if body[n] in b",]}"), len(body))
                body = body[:start] + random.choice(ODD).encode() + body[stop:]
        else:
            body = body[:at] + random.randbytes(random.randrange(1, 9)) + body[at:]
    return body


def judge(answer: Any, case: tuple[int, bytes]) -> None:
    said = (*case, answer.text[:500])
    if answer.status_code == 200:
        return
    assert 400 <= answer.status_code < 500, said
    assert answer.headers["content-type"] == "application/problem+json", said
    problem = answer.json()
    assert problem["status"] == answer.status_code and problem["detail"], said
    assert "Traceback" not in answer.text and len(problem["detail"]) < 2000, said
    if answer.status_code == 422:
        assert problem["errors"] and all(
            one["pointer"].startswith("#") and one["detail"] for one in problem["errors"]
        ), said


@pytest.mark.parametrize("project", PROJECTS)
@pytest.mark.parametrize(("door", "kind"), DOORS)
def test_a_broken_body_is_refused_in_words_or_answered(
    clients: dict[str, TestClient], artifacts: Path, project: str, door: str, kind: str
) -> None:
    paths = {"predict": "/models/{}/predict", "invocations": "/invocations", "infer": "/v2/models/{}/infer"}
    path = paths[door].format(project)
    rows = Bundle(artifacts / project / "bundle").example[:2]
    body = sound(rows, door, kind)
    headers = {"content-type": kind}
    assert clients[project].post(path, content=body, headers=headers).status_code == 200

    for seed in range(SEEDS):
        random = Random(seed)
        sent, how = broken(random, body), dict(headers)
        if random.random() < 0.2:
            sent = gzip.compress(sent, 1)
            sent = broken(random, sent) if random.random() < 0.5 else sent
            how["content-encoding"] = "gzip"
        judge(clients[project].post(path, content=sent, headers=how), (seed, sent[:200]))
