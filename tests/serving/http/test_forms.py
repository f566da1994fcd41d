"""A form is a body like any other: the same answers as by JSON, and refusals that name the field."""

import base64
import io
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from roadmap.bundle import Bundle
from tests.support import bundles

URLENCODED = {"content-type": "application/x-www-form-urlencoded"}
HOUSE: dict[str, Any] = {"area_m2": 90, "district": "harbour"}


def post(client: TestClient, body: bytes, project: str, **headers: str) -> Any:
    return client.post(f"/models/{project}/predict", content=body, headers=headers)


def by_json(client: TestClient, project: str, *inputs: Any) -> Any:
    return client.post(f"/models/{project}/predict", json={"inputs": inputs}).json()["outputs"]


def picture(digit: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(bundles.glyphs()[digit].astype("uint8")).save(file, format="png")
    return file.getvalue()


def test_images_are_uploaded_as_files(client: TestClient) -> None:
    files = [("image", (f"{digit}.png", picture(digit), "image/png")) for digit in (3, 8)]
    response = client.post("/models/mnist/predict", files=files)
    assert response.status_code == 200, response.text
    assert [output["digit"] for output in response.json()["outputs"]] == [3, 8]


def form(client: TestClient, project: str, **fields: Any) -> Any:
    """As `curl -F name=value` sends it."""
    files = [
        (name, (None, one)) for name, value in fields.items() for one in ([value] if type(value) is str else value)
    ]
    return client.post(f"/models/{project}/predict", files=files)


def test_a_form_has_the_fields_of_a_table(client: TestClient) -> None:
    fields: dict[str, Any] = {"area_m2": 90, "district": "harbour"}
    plain = client.post("/models/house_prices/predict", json={"inputs": [fields]}).json()["outputs"]
    for area in ("90", " 90.0 ", "9e1"):
        answer = form(client, "house_prices", area_m2=area, district="harbour")
        assert answer.status_code == 200, answer.text
        assert answer.json()["outputs"] == plain
    several = form(client, "house_prices", area_m2=["90", "60"], district=["harbour", ""]).json()["outputs"]
    rows = [fields, {"area_m2": 60, "district": None}]
    assert several == client.post("/models/house_prices/predict", json={"inputs": rows}).json()["outputs"]


def test_a_text_field_may_be_a_file(client: TestClient) -> None:
    """What is read is the text, and not its base64."""
    text = "A wonderful film: warm, witty, beautifully played."
    plain = client.post("/models/imdb/predict", json={"inputs": [{"text": text}]}).json()["outputs"]
    for sent in (text.encode(), text.encode("utf-8-sig")):
        answer = client.post("/models/imdb/predict", files={"text": ("review.txt", sent, "text/plain")})
        assert answer.json()["outputs"] == plain
    refused = client.post("/models/imdb/predict", files={"text": ("review.txt", b"caf\xe9", "text/plain")})
    assert refused.status_code == 422 and refused.json()["errors"][0]["pointer"] == "#/inputs/0/text"


def test_lists_in_a_form_are_json(client: TestClient, artifacts: Path) -> None:
    example = json.loads((artifacts / "stocks" / "bundle" / "example.json").read_text())[0]
    cells = {name: value if isinstance(value, str) else json.dumps(value) for name, value in example.items()}
    answer = form(client, "stocks", **cells)
    assert answer.status_code == 200, answer.text
    assert (
        answer.json()["outputs"] == client.post("/models/stocks/predict", json={"inputs": [example]}).json()["outputs"]
    )


@pytest.mark.parametrize(
    ("project", "fields", "words"),
    [
        ("house_prices", {"area_m2": "large"}, "inputs/0/area_m2"),
        ("house_prices", {"area": "90"}, "inputs/0/area: is not a known field"),
        ("titanic", {"class": "1st", "sex": ["female", "male"]}, "the same number of values"),
    ],
)
def test_an_invalid_form_field_is_named(client: TestClient, project: str, fields: dict[str, Any], words: str) -> None:
    answer = form(client, project, **fields)
    assert answer.status_code == 422 and words in answer.json()["detail"]


@pytest.mark.parametrize(
    ("files", "data", "status", "words"),
    [
        ([("image", ("a.png", b"no picture", "image/png"))], {}, 422, "inputs/0/image"),
        ([("picture", ("a.png", picture(1), "image/png"))], {}, 422, "image: is missing"),
        ([("image", ("a.png", picture(1), "image/png"))] * 2, {"note": "x"}, 422, "the same number of values"),
        ([("image", ("a.png", picture(1), "image/png"))] * 65, {}, 400, "Too many files"),
    ],
)
def test_an_invalid_upload_is_named(client: TestClient, files: Any, data: Any, status: int, words: str) -> None:
    response = client.post("/models/mnist/predict", files=files, data=data)
    assert response.status_code == status and words in response.json()["detail"], response.text


def test_a_malformed_form_is_rejected(client: TestClient) -> None:
    for kind in ("multipart/form-data", "multipart/form-data; boundary=x"):
        response = post(client, b"what is this", "mnist", **{"content-type": kind})
        assert response.status_code in (400, 422) and response.json()["detail"]


# ---------------------------------------------------------------- as `curl -d` and pages without a script send them


def test_the_same_fields_urlencoded(client: TestClient) -> None:
    for body in (b"area_m2=90&district=harbour", b"area_m2=+9e1+&district=harbour&", b"district=%68arbour&area_m2=90"):
        for kind in (URLENCODED["content-type"], "Application/X-WWW-Form-Urlencoded; charset=UTF-8"):
            answer = post(client, body, "house_prices", **{"content-type": kind})
            assert answer.status_code == 200, answer.text
            assert answer.json()["outputs"] == by_json(client, "house_prices", HOUSE)
    several = post(client, b"area_m2=90&area_m2=60&district=harbour&district=", "house_prices", **URLENCODED)
    rows = [HOUSE, {"area_m2": 60, "district": None}]
    assert several.json()["outputs"] == by_json(client, "house_prices", *rows)


@pytest.mark.parametrize(
    "body", ["text=schön&explain=false", "text=sch%C3%B6n&explain=False", "explain=FALSE&text=schön"]
)
def test_text_beyond_ascii_urlencoded(client: TestClient, body: str) -> None:
    answer = post(client, body.encode(), "imdb", **URLENCODED)
    assert answer.json()["outputs"] == by_json(client, "imdb", {"text": "schön", "explain": False})


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b'{"inputs": [{"area_m2": 90}]}', 415, "send JSON as application/json"),
        (b"", 422, "at least 1 item"),
        (b"area_m2=90&area_m2=60&district=hills", 422, "area_m2 2 times, district 1 times"),
        (b"area_m2=large", 422, "inputs/0/area_m2: should be a valid number"),
        (b"area_m2=1e999", 422, "inputs/0/area_m2"),
        (b"area_m2=nan&rooms=inf", 422, "inputs/0/rooms"),
        (b"area_m2=" + b"9" * 5000, 422, "inputs/0/area_m2"),
        (b"area=90", 422, "inputs/0/area: is not a known field"),
        (b"district=caf%E9", 422, "inputs/0/district: should be text in UTF-8; byte 3 is none"),
        (b"district=caf\xe9", 422, "inputs/0/district: should be text in UTF-8; byte 3 is none"),
        (b"caf\xe9=1", 422, "the name of a field: should be text in UTF-8"),
        (b"&".join([b"area_m2=90"] * 4097), 400, "more than 4096 fields"),
    ],
)
def test_an_invalid_urlencoded_field_is_named(client: TestClient, body: bytes, status: int, words: str) -> None:
    answer = post(client, body, "house_prices", **URLENCODED)
    assert answer.status_code == status and words in answer.json()["detail"], answer.text
    assert answer.headers["content-type"] == "application/problem+json"


# ---------------------------------------------------------------- parts


def parts(*bodies: bytes, end: bytes = b"--x--\r\n") -> bytes:
    return b"".join(b"--x\r\n" + body + b"\r\n" for body in bodies) + end


def part(name: str, value: bytes, *lines: str) -> bytes:
    return "\r\n".join([f'Content-Disposition: form-data; name="{name}"', *lines, "", ""]).encode() + value


FORM = {"content-type": "Multipart/Form-Data; boundary=x"}


def test_form_text_is_utf8_and_crlf_is_a_line_end(client: TestClient) -> None:
    body = parts(part("text", "\ufeffschön".encode(), "Content-Type: text/plain; charset=utf-8"))
    outputs = post(client, body, "imdb", **FORM).json()["outputs"]
    assert outputs == by_json(client, "imdb", {"text": "schön"})


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (parts(part("text", b"caf\xe9")), 422, "inputs/0/text: should be text in UTF-8; byte 3 is none"),
        (parts(part("text", b"a", "Content-Type: text/plain; charset=latin-1")), 415, "charset: found latin-1"),
        (parts(part("text", b"YQ==", "Content-Transfer-Encoding: base64")), 415, "content-transfer-encoding"),
        (parts(part("text", b"a"), end=b""), 400, "truncated"),
        (parts(part("text", b"a"), part("text", b"b"), end=b"--x"), 400, "truncated"),
        (b"", 400, "truncated"),
        (b"--x--\r\n", 422, "at least 1 item"),
        (parts(b"Content-Disposition: form-data\r\n\r\na"), 400, "name"),
        (parts(part("text", b"a" * (2**20 + 1))), 400, "maximum size"),
        (parts(part("text", b"a"), part("explain", b"perhaps")), 422, "inputs/0/explain: should be a valid boolean"),
        (parts(part("text", b"  ")), 422, "inputs/0/text: is missing"),
    ],
)
def test_a_damaged_form_is_named(client: TestClient, body: bytes, status: int, words: str) -> None:
    answer = post(client, body, "imdb", **FORM)
    assert answer.status_code == status and words in answer.json()["detail"], answer.text


def test_a_charset_other_than_utf8_is_rejected(client: TestClient) -> None:
    for kind in ("multipart/form-data; boundary=x; charset=gbk", "application/x-www-form-urlencoded; charset=gbk"):
        assert post(client, parts(part("text", b"a")), "imdb", **{"content-type": kind}).status_code == 415


def test_rows_of_pixels_may_be_text(client: TestClient) -> None:
    image = bundles.glyphs()[7].tolist()
    answer = form(client, "mnist", image=json.dumps(image))
    assert answer.json()["outputs"] == by_json(client, "mnist", {"image": image})


def test_base64_whose_plus_signs_are_not_escaped(client: TestClient) -> None:
    """`curl -d image=$(base64 7.png)` sends them as they are, which in a form are blanks."""
    image = picture(7)
    content = base64.b64encode(image + b"\0" * (-len(image) % 3) + b"\xfb\xef\xbe")
    assert b"+" in content
    for sent in (content, content.replace(b"+", b"%2B"), content[:40] + b"%0A" + content[40:]):
        answer = post(client, b"image=" + sent, "mnist", **URLENCODED)
        assert answer.status_code == 200 and answer.json()["outputs"][0]["digit"] == 7, answer.text


# ---------------------------------------------------------------- what the OpenAPI document says of them


def filled(schema: dict[str, Any]) -> dict[str, str]:
    """A form as a page makes it of the document: the example of each field."""
    assert set(schema.get("required", [])) <= set(schema["properties"])
    return {name: str(spec["example"]) for name, spec in schema["properties"].items() if "example" in spec}


@pytest.mark.parametrize("project", sorted(bundles.ALL))
def test_a_form_built_from_the_openapi_schema_works(client: TestClient, artifacts: Path, project: str) -> None:
    example = Bundle(artifacts / project / "bundle").example[0]
    operation = client.get("/openapi.json").json()["paths"][f"/models/{project}/predict"]["post"]
    content = operation["requestBody"]["content"]
    assert set(content) == {"application/json", "multipart/form-data", "application/x-www-form-urlencoded"}
    plain = by_json(client, project, example)
    sent = urlencode(filled(content["application/x-www-form-urlencoded"]["schema"])).encode()
    answer = post(client, sent, project, **URLENCODED)
    assert answer.status_code == 200 and answer.json()["outputs"] == plain, answer.text
    schema = content["multipart/form-data"]["schema"]
    files = [name for name, spec in schema["properties"].items() if spec.get("format") == "binary"]
    assert files == (["image"] if "image" in example else [])
    if files:
        image = io.BytesIO()
        Image.fromarray(np.array(example["image"], np.uint8)).save(image, format="png")
        answer = client.post(f"/models/{project}/predict", files={"image": ("a.png", image.getvalue())})
    else:
        answer = form(client, project, **filled(schema))
    assert answer.status_code == 200 and answer.json()["outputs"] == plain, answer.text


def test_the_openapi_schema_has_the_types_of_form_fields(client: TestClient) -> None:
    paths = client.get("/openapi.json").json()["paths"]

    def fields(project: str) -> Any:
        content = paths[f"/models/{project}/predict"]["post"]["requestBody"]["content"]
        return content["multipart/form-data"]["schema"]["properties"]

    house = fields("house_prices")
    assert house["area_m2"]["type"] == "number" and house["district"]["type"] == "string"
    assert fields("imdb")["explain"]["type"] == "boolean"
    assert fields("stocks")["close"]["type"] == "string" and "JSON" in fields("stocks")["close"]["description"]
