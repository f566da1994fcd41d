"""Serving cifar10: images in every format, and what is wrong with others."""

import base64
import io
import json
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from pipelines.cifar10 import data as project
from pipelines.cifar10.evaluate import robustness
from roadmap.bundle import Bundle, load_predictor
from roadmap.inference import images
from serving.http.app import create_app
from serving.settings import Settings
from tests.support import bundles

SIZE = 32


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hand-made bundle: the score of a class is the mean of one colour of the image."""
    folder = tmp_path_factory.mktemp("artifacts")
    weights = np.zeros((3, 10), np.float32)
    weights[[0, 1, 2], [0, 1, 2]] = 1 / 16
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["x"], ["float"], to=TensorProto.FLOAT),
            helper.make_node("ReduceMean", ["float"], ["mean"], axes=[1, 2], keepdims=0),
            helper.make_node("MatMul", ["mean", "weights"], ["y"]),
        ],
        "hand_made",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, ["n", SIZE, SIZE, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 10])],
        [numpy_helper.from_array(weights, "weights")],
    )
    schema = {"task": "images", "size": SIZE, "target": "label", "classes": project.CLASSES}
    example = [{"image": images.encode(plain(colour))} for colour in ((200, 0, 0), (0, 200, 0))]
    assets = {"schema.json": schema, "example.json": example}
    bundles.write(folder / "cifar10" / "bundle", "cifar10", graph, assets, source="colours")
    return folder


@pytest.fixture(scope="module")
def client(artifacts: Path) -> Iterator[TestClient]:
    with TestClient(create_app(Settings(bundles=str(artifacts))), raise_server_exceptions=False) as client:
        yield client


def plain(colour: tuple[int, int, int], size: int = SIZE) -> np.ndarray:
    return np.full((size, size, 3), colour, np.uint8)


def file(image: Image.Image, kind: str = "png", **options: Any) -> str:
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options)
    return base64.b64encode(buffer.getvalue()).decode()


def ask(client: TestClient, image: Any) -> Any:
    return client.post("/models/cifar10/predict", json={"inputs": [{"image": image}]})


RED = plain((200, 10, 10))
ROWS = RED.tolist()


@pytest.mark.parametrize(
    "image",
    [
        ROWS,
        images.encode(RED),
        "data:image/png;base64," + images.encode(RED),
        file(Image.fromarray(RED), "jpeg", quality=95),
    ],
    ids=["rows", "png", "data url", "jpeg"],
)
def test_every_image_format_is_accepted(client: TestClient, image: Any) -> None:
    answer = ask(client, image)
    assert answer.status_code == 200, answer.text
    (output,) = answer.json()["outputs"]
    assert output["label"] == "airplane" and list(output["probabilities"]) == project.CLASSES
    assert sum(output["probabilities"].values()) == pytest.approx(1)


def changed(value: Any) -> list[Any]:
    rows = [[list(pixel) for pixel in row] for row in ROWS]
    rows[3][4] = value
    return rows


PNG = base64.b64decode(images.encode(np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)))


def bomb(edge: int) -> bytes:
    """A small file that claims to be huge: a PNG header with other numbers and their checksum."""
    header = b"IHDR" + struct.pack(">II", edge, edge) + PNG[24:29]
    return PNG[:12] + header + struct.pack(">I", zlib.crc32(header)) + PNG[33:]


def animation() -> str:
    frames = [Image.fromarray(plain(colour, 32)) for colour in ((255, 0, 0), (0, 0, 255))]
    content = io.BytesIO()
    frames[0].save(content, format="png", save_all=True, append_images=frames[1:])
    return base64.b64encode(content.getvalue()).decode()


@pytest.mark.parametrize(
    ("image", "words"),
    [
        ("", "is empty"),
        ([], "should have 32 rows, found 0"),
        (None, "should be 32 rows of 32"),
        (7, "should be 32 rows of 32"),
        ({"a": 1}, "should be 32 rows of 32"),
        (ROWS[:31], "should have 32 rows, found 31"),
        ([*ROWS[:31], ROWS[0][:5]], "row 31 should be a list of 32 pixels, found 5"),
        ([*ROWS[:31], "x" * 32], "row 31 should be a list of 32 pixels, found str"),
        (changed([1, 2]), "row 3, pixel 4 should be"),
        (changed(5), "row 3, pixel 4 should be"),
        (changed([1, 2, 256]), "row 3, pixel 4 should hold whole values from 0 to 255"),
        (changed([1, 2, -1]), "row 3, pixel 4 should hold whole values"),
        (changed([1, 2, 10**30]), "row 3, pixel 4 should hold whole values"),
        (changed([1, 2, 3.0]), "row 3, pixel 4 should hold whole values"),
        (changed([1, 2, True]), "row 3, pixel 4 should hold whole values"),
        (changed([1, 2, "3"]), "row 3, pixel 4 should hold whole values"),
        (changed([1, 2, None]), "row 3, pixel 4 should hold whole values"),
        ("not base64!", "is not base64"),
        ("图", "is not base64"),
        (base64.b64encode(b"plain text").decode(), "is not a PNG or JPEG file"),
        (file(Image.fromarray(RED), "gif"), "is not a PNG or JPEG file"),
        (file(Image.fromarray(plain((1, 2, 3), 33))), "should be 32 x 32 pixels, found 33 x 33"),
        (file(Image.fromarray(RED).convert("L")), "found mode L"),
        (file(Image.fromarray(RED).convert("RGBA")), "found mode RGBA"),
        (file(Image.fromarray(RED).convert("P")), "found mode P"),
        (file(Image.fromarray(RED).convert("CMYK"), "jpeg"), "found mode CMYK"),
        (animation(), "found an animation of 2 frames"),
        (base64.b64encode(PNG[: len(PNG) // 2]).decode(), "is a damaged PNG file"),
        (base64.b64encode(PNG[:20]).decode(), "is not a PNG or JPEG file"),
        (base64.b64encode(bomb(9_000)).decode(), "should be 32 x 32 pixels, found 9000 x 9000"),
        (base64.b64encode(bomb(60_000)).decode(), "should be 32 x 32 pixels, found millions"),
        ("A" * (images.MAX_TEXT + 1), "should have at most 1,048,576 characters"),
    ],
)  # fmt: skip
def test_invalid_images_are_explained(client: TestClient, image: Any, words: str) -> None:
    answer = ask(client, image)
    assert answer.status_code == 422, answer.text
    (error,) = answer.json()["errors"]
    assert words in error["detail"] and error["pointer"] == "#/inputs/0/image"
    assert answer.json()["detail"] == f"inputs/0/image: {error['detail']}" and "rror" not in error["detail"]


@pytest.mark.parametrize(
    "encode",
    [
        base64.encodebytes,
        lambda content: b" \r\n".join(base64.encodebytes(content).split()),
        base64.urlsafe_b64encode,
        lambda content: base64.b64encode(content).rstrip(b"="),
        lambda content: b"Data:image/png;base64," + base64.urlsafe_b64encode(content).rstrip(b"="),
    ],
)
@pytest.mark.parametrize("junk", [b"", b"\xff\xef\xbe", b"\xfb"])
def test_base64_may_have_line_breaks_the_alphabet_of_urls_and_no_padding(
    client: TestClient, encode: Any, junk: bytes
) -> None:
    """junk: behind the file, where it changes nothing, for the letters that the two alphabets don't share."""
    assert ask(client, encode(PNG + junk).decode()).json() == ask(client, base64.b64encode(PNG).decode()).json()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["jpeg", "png"])
def test_exif_orientation_is_applied(orientation: int, kind: str) -> None:
    """EXIF has the camera's orientation, which every viewer applies."""
    upright = np.zeros((SIZE, SIZE, 3), np.uint8)
    upright[: SIZE // 2, : SIZE // 2] = 200  # the first quarter alone is bright
    mirrored = upright.transpose(1, 0, 2)
    held = [upright, upright[:, ::-1], upright[::-1, ::-1], upright[::-1], mirrored, np.rot90(upright)]
    held += [np.rot90(mirrored, 2), np.rot90(upright, -1)]
    lying = Image.fromarray(np.ascontiguousarray(held[orientation - 1]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    lying.save(buffer, kind, exif=exif, **({"quality": 100, "subsampling": 0} if kind == "jpeg" else {}))
    read = images.read(base64.b64encode(buffer.getvalue()).decode(), SIZE)
    assert np.abs(read.astype(int) - upright).max() < 8


def test_corrupt_exif_is_ignored() -> None:
    buffer = io.BytesIO()
    Image.fromarray(RED).save(buffer, "png", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\xff" + b"\xff" * 9)
    np.testing.assert_array_equal(images.read(base64.b64encode(buffer.getvalue()).decode(), SIZE), RED)


def test_nan_is_neither_json_nor_a_pixel(client: TestClient) -> None:
    body = json.dumps({"inputs": [{"image": changed([1, 2, float("nan")])}]})
    answer = client.post("/models/cifar10/predict", content=body, headers={"content-type": "application/json"})
    assert answer.status_code in (400, 422) and answer.json()["detail"]


def test_corrupt_images_cause_no_server_error(client: TestClient) -> None:
    rng = np.random.default_rng(0)
    for kind in ("png", "jpeg"):
        whole = base64.b64decode(file(Image.fromarray(RED), kind))
        for _ in range(150):
            content = bytearray(whole)
            for at in rng.integers(0, len(content), 4):
                content[at] = rng.integers(0, 256)
            answer = ask(client, base64.b64encode(content[: rng.integers(1, len(content) + 1)]).decode())
            assert answer.status_code in (200, 422), answer.text


def test_encoding_is_lossless() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
    np.testing.assert_array_equal(images.decode(images.encode(noise), SIZE), noise)
    np.testing.assert_array_equal(images.decode(noise.tolist(), SIZE), noise)


def test_corruptions_are_scored_by_the_served_predictor(artifacts: Path) -> None:
    predictor = load_predictor(Bundle(artifacts / "cifar10" / "bundle"))
    pixels = np.stack([plain((200, 0, 0)), plain((0, 200, 0)), plain((0, 0, 200))] * 4)
    found = robustness.accuracies(robustness.through(predictor), pixels, np.array([0, 1, 2] * 4))
    assert set(found) == set(robustness.CORRUPTIONS)
    assert all(len(values) == 5 and values[0] == 1 for values in found.values())
    assert found["blur"] == [1.0] * 5, "a plain image has nothing to blur"
