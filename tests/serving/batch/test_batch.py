"""Batch scoring: types of cells, rejected rows, bounded memory, and resuming after kill -9."""

import csv
import gzip
import json
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from roadmap.bundle import Bundle, load_predictor, write_manifest
from serving.batch.__main__ import main
from tests.support import bundles
from tests.support.checkouts import ROOT, environment

PEOPLE: list[dict[str, Any]] = [
    {"id": "7", "class": "1st", "sex": "female", "age": "adult"},
    {"id": "8", "class": "3rd", "sex": "male", "age": None},
    {"id": "9", "class": "crew", "sex": "male", "age": "adult"},
]


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundles.make_all(tmp_path_factory.mktemp("artifacts"))


@pytest.fixture
def run(artifacts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: main([f"bundles={artifacts}", *arguments])


def expected(artifacts: Path, project: str, requests: list[dict[str, Any]]) -> list[dict[str, Any]]:
    predictor = load_predictor(Bundle(artifacts / project / "bundle"))
    return [
        output.model_dump()
        for output in predictor.predict([predictor.Request.model_validate(request) for request in requests])
    ]


def people(rows: list[dict[str, Any]] = PEOPLE) -> list[dict[str, Any]]:
    return [{name: row[name] for name in ("class", "sex", "age")} for row in rows]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    """By the name's ending."""
    if ".parquet" in path.name:
        pq.write_table(pa.Table.from_pylist(rows), path)
        return path
    with gzip.open(path, "wt", newline="") if path.suffix == ".gz" else path.open("w", newline="") as file:
        if ".csv" in path.name:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)
        else:
            file.writelines(json.dumps(row) + "\n" for row in rows)
    return path


def read(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pylist(maps_as_pydicts="strict")
    if path.suffix == ".csv":
        with path.open(newline="") as file:
            return list(csv.DictReader(file))
    return [json.loads(line) for line in path.read_text().splitlines()]


def many(path: Path, rows: int, note: str = "") -> Path:
    rng = random.Random(0)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["class", "sex", "age", "note"])
        for number in range(rows):
            bad = "x" * 300 if number % 700 == 3 else rng.choice(["adult", "child", ""])
            writer.writerow([rng.choice(["1st", "2nd", "3rd", "crew"]), rng.choice(["male", "female"]), bad, note])
    return path


# ---------------------------------------------------------------- formats and types


@pytest.mark.parametrize("output", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize("input", ["csv", "csv.gz", "jsonl", "jsonl.gz", "parquet"])
def test_every_format_gives_the_predictors_outputs(
    run: Callable[..., int], artifacts: Path, tmp_path: Path, input: str, output: str
) -> None:
    write(tmp_path / f"people.{input}", PEOPLE)
    assert run("project=titanic", f"input=people.{input}", f"output=scored.{output}") == 0
    answers = expected(artifacts, "titanic", people())
    rows = read(tmp_path / f"scored.{output}")
    assert [row["label"] for row in rows] == [answer["label"] for answer in answers]
    assert [float(row["probability"]) for row in rows] == [answer["probability"] for answer in answers]
    assert [{k: row[k] or None for k in PEOPLE[0]} for row in rows] == PEOPLE
    left = {path.name for path in tmp_path.iterdir()} - {f"people.{input}", f"scored.{output}"}
    assert not left


def test_text_is_converted_to_the_types_of_the_request(
    run: Callable[..., int], artifacts: Path, tmp_path: Path
) -> None:
    """Strict numbers from text, missing values from empty cells, and a district named 007 stays text."""
    rows = [
        {"area_m2": " 80.5", "rooms": "3", "age_years": "", "distance_km": "1e1", "district": "007"},
        {"area_m2": "+60", "rooms": "2.0", "age_years": "7", "distance_km": ".5", "district": "true"},
    ]
    write(tmp_path / "houses.csv", rows)
    assert run("project=house_prices", "input=houses.csv", "output=out.parquet") == 0
    known: list[dict[str, Any]] = [
        {"area_m2": 80.5, "rooms": 3.0, "age_years": None, "distance_km": 10.0, "district": "007"},
        {"area_m2": 60.0, "rooms": 2.0, "age_years": 7.0, "distance_km": 0.5, "district": "true"},
    ]
    answers = expected(artifacts, "house_prices", known)
    assert read(tmp_path / "out.parquet") == [{**k, **a} for k, a in zip(known, answers, strict=True)]
    assert pq.read_schema(tmp_path / "out.parquet").field("age_years").type == pa.float64()


def test_lists_in_csv_are_json_text(run: Callable[..., int], artifacts: Path, tmp_path: Path) -> None:
    images = [bundles.glyphs()[digit].tolist() for digit in (3, 7)]
    write(tmp_path / "digits.csv", [{"image": json.dumps(image)} for image in images])
    assert run("project=mnist", "input=digits.csv", "output=digits.parquet") == 0
    rows = read(tmp_path / "digits.parquet")
    assert [json.loads(row["image"]) for row in rows] == images and [row["digit"] for row in rows] == [3, 7]
    assert [row["probabilities"] for row in rows] == [
        answer["probabilities"] for answer in expected(artifacts, "mnist", [{"image": image} for image in images])
    ]
    assert run("project=mnist", "input=digits.csv", "output=digits.out.csv") == 0
    assert json.loads(read(tmp_path / "digits.out.csv")[0]["probabilities"]) == rows[0]["probabilities"]


def test_passed_through_parquet_columns_keep_their_type(run: Callable[..., int], tmp_path: Path) -> None:
    table = pa.table(
        {
            "when": pa.array([1, 2, 3], pa.timestamp("ns")),
            "took": pa.array([1, 2, 3], pa.duration("us")),
            "worth": pa.array([Decimal("1.50"), None, Decimal("2")], pa.decimal128(5, 2)),
            "picture": pa.array([b"\xff", b"", None]),
            "rooms": pa.array([1.0, float("nan"), None]),  # NaN is a gap
            "area_m2": pa.array([50, 60, 70], pa.int32()),
        }
    )
    pq.write_table(table, tmp_path / "houses.parquet")
    assert run("project=house_prices", "input=houses.parquet", "output=out.parquet") == 0
    assert pq.read_schema(tmp_path / "out.parquet").field("when").type == pa.timestamp("ns")
    assert run("project=house_prices", "input=houses.parquet", "output=out.jsonl") == 0
    rows = read(tmp_path / "out.jsonl")
    assert [row["rooms"] for row in rows] == [1.0, None, None]
    assert [rows[0][name] for name in ("took", "worth", "picture")] == [1, "1.50", "/w=="]


def test_a_name_in_input_and_output_and_a_table_without_the_inputs(run: Callable[..., int], tmp_path: Path) -> None:
    write(tmp_path / "people.csv", [{**row, "label": "mine"} for row in PEOPLE])
    assert run("project=titanic", "input=people.csv", "output=both.csv") == 0
    assert {row["label"] for row in read(tmp_path / "both.csv")} == {"mine"}
    assert {row["output_label"] for row in read(tmp_path / "both.csv")} == {"survived", "died"}
    assert run("project=titanic", "input=people.csv", "output=bare.csv", "keep=false") == 0
    assert [(row["row"], len(row)) for row in read(tmp_path / "bare.csv")] == [("1", 3), ("2", 3), ("3", 3)]


# ---------------------------------------------------------------- bad rows


def test_invalid_csv_rows_go_to_the_error_file(run: Callable[..., int], tmp_path: Path) -> None:
    lines = [
        b"area_m2,rooms,district",
        b"80,3,hills",
        b"eighty,3,hills",
        b"80,3",
        b'80,3,"two\nlines"',
        b"80,\xff,hills",
        b"1e39,3,hills",
        b'80,3,"stray" quote',
        b"90,3,hills",
    ]
    (tmp_path / "houses.csv").write_bytes(b"\n".join(lines))
    assert run("project=house_prices", "input=houses.csv", "output=out.csv") == 0
    assert [row["area_m2"] for row in read(tmp_path / "out.csv")] == ["80", "80", "80", "90"]
    aside = read(tmp_path / "out.csv.errors.jsonl")
    assert [(row["row"], row["line"]) for row in aside] == [(2, 3), (3, 4), (4, 6), (5, 7), (6, 8), (7, 9)]
    errors = [row for row in aside if "errors" in row]
    message = [(error["errors"][0]["pointer"], error["errors"][0]["detail"]) for error in errors]
    assert message[0] == ("#/area_m2", "should be a valid number") and errors[0]["values"]["area_m2"] == "eighty"
    assert "is not UTF-8" in message[1][1] and "should be less than or equal to 1000" in message[2][1]
    assert "expected after" in message[3][1]
    short, unseen = [row["warnings"] for row in aside if "warnings" in row]
    assert short == [{"pointer": "#", "detail": "has 2 cells where the header has 3: the others are gaps"}]
    assert unseen[0]["pointer"] == "#/district" and "was not seen in training" in unseen[0]["detail"]


def test_an_unseen_level_is_a_warning_or_an_error_if_strict(run: Callable[..., int], tmp_path: Path) -> None:
    write(tmp_path / "people.csv", [PEOPLE[0], {**PEOPLE[1], "sex": "Female"}])
    assert run("project=titanic", "input=people.csv", "output=out.csv") == 0
    assert len(read(tmp_path / "out.csv")) == 2
    [row] = read(tmp_path / "out.csv.errors.jsonl")
    detail = "'Female' was not seen in training: counts as an average row's; did you mean 'female'?"
    assert row["row"] == 2 and row["warnings"] == [{"pointer": "#/sex", "detail": detail}]
    assert run("project=titanic", "input=people.csv", "output=strict.csv", "strict=true") == 0
    assert len(read(tmp_path / "strict.csv")) == 1
    [row] = read(tmp_path / "strict.csv.errors.jsonl")
    assert row["errors"] == [{"pointer": "#/sex", "detail": detail}]


def test_invalid_json_lines_go_to_the_error_file(run: Callable[..., int], tmp_path: Path) -> None:
    image = json.dumps({"image": bundles.glyphs()[4].tolist()})
    lines = [image, "{", "[1]", '{"image": NaN}', "", '{"image": [[1]]}', "[" * 100_000, image]
    lines.insert(2, '{"image": [], "note": "\\ud800"}')
    (tmp_path / "digits.jsonl").write_text("\n".join(lines))
    assert run("project=mnist", "input=digits.jsonl", "output=out.jsonl") == 0
    assert [row["digit"] for row in read(tmp_path / "out.jsonl")] == [4, 4]
    errors = read(tmp_path / "out.jsonl.errors.jsonl")
    assert [error["row"] for error in errors] == [2, 3, 4, 5, 6, 7]
    assert "surrogates not allowed" in errors[1]["errors"][0]["detail"]
    assert errors[2]["errors"] == [{"pointer": "#", "detail": "should be a JSON object"}]
    assert errors[4]["errors"][0]["pointer"].startswith("#/image") and errors[4]["values"] == {"image": [[1]]}


def test_a_row_that_fails_does_not_fail_its_batch(
    run: Callable[..., int], artifacts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipelines.titanic.predict import Predictor

    real = Predictor.outputs

    def fragile(self: Any, inputs: Any) -> Any:
        if any(request.model_dump(by_alias=True)["sex"] == "bomb" for request in inputs):
            raise RuntimeError("boom")
        return real(self, inputs)

    monkeypatch.setattr(Predictor, "outputs", fragile)
    write(tmp_path / "people.csv", [PEOPLE[0], {**PEOPLE[1], "sex": "bomb"}, PEOPLE[2]])
    assert run("project=titanic", "input=people.csv", "output=out.csv") == 0
    assert [row["id"] for row in read(tmp_path / "out.csv")] == ["7", "9"]
    assert "RuntimeError: boom" in read(tmp_path / "out.csv.errors.jsonl")[0]["errors"][0]["detail"]


def test_no_scored_row_is_exit_code_3_without_output(run: Callable[..., int], tmp_path: Path, capsys: Any) -> None:
    write(tmp_path / "houses.csv", [{"area_m2": "?"}, {"area_m2": "!"}])
    assert run("project=house_prices", "input=houses.csv", "output=out.csv") == 3
    assert "no row was scored" in capsys.readouterr().err
    assert len(read(tmp_path / "out.csv.errors.jsonl")) == 2 and not (tmp_path / "out.csv").exists()
    (tmp_path / "empty.csv").write_text("area_m2,rooms\n")
    assert run("project=house_prices", "input=empty.csv", "output=empty.out.csv") == 3


def test_too_many_errors_stop_and_a_higher_limit_resumes(run: Callable[..., int], tmp_path: Path, capsys: Any) -> None:
    many(tmp_path / "people.csv", 3000)  # five of them bad
    arguments = ("project=titanic", "input=people.csv", "output=out.csv", "rows=512")
    assert run(*arguments, "max_errors=2") == 1
    assert "max_errors=2" in capsys.readouterr().err and not (tmp_path / "out.csv").exists()
    assert run(*arguments, "max_errors=5") == 0
    assert "goes on behind row" in capsys.readouterr().out
    assert len(read(tmp_path / "out.csv")) == 2995


# ---------------------------------------------------------------- killed, resumed, changed


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "serving.batch", *arguments]
    env = environment(PYTHONPATH=str(ROOT))
    return subprocess.Popen(command, cwd=folder, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_a_killed_job_resumes_and_ends_with_the_same_file(
    run: Callable[..., int], artifacts: Path, tmp_path: Path, kind: str, capsys: Any
) -> None:
    many(tmp_path / "people.csv", 6_000)
    arguments = (f"bundles={artifacts}", "project=titanic", "input=people.csv", "rows=256", "threads=1")
    assert run(*arguments, f"output=whole.{kind}") == 0
    output, state = tmp_path / f"out.{kind}", tmp_path / f"out.{kind}.partial" / "state.json"
    kills = 0
    while not output.exists():
        process = start(tmp_path, *arguments, f"output=out.{kind}")
        done = json.loads(state.read_text())["parts"] if state.exists() else 0
        while process.poll() is None and kills < 3:
            if state.exists() and json.loads(state.read_text())["parts"] >= done + 4:
                process.send_signal(signal.SIGKILL)
                kills += 1
                break
            time.sleep(0.002)
        process.communicate()
    assert kills, "it was not killed"
    assert output.read_bytes() == (tmp_path / f"whole.{kind}").read_bytes()
    errors = [tmp_path / f"{name}.{kind}.errors.jsonl" for name in ("whole", "out")]
    assert errors[0].read_bytes() == errors[1].read_bytes()
    assert not state.parent.exists()


@pytest.fixture
def half(run: Callable[..., int], tmp_path: Path, capsys: Any) -> tuple[str, ...]:
    """A job that stopped in the middle, as if killed."""
    many(tmp_path / "people.csv", 3000)
    arguments = ("project=titanic", "input=people.csv", "output=out.csv", "rows=512")
    assert run(*arguments, "max_errors=2") == 1
    capsys.readouterr()
    return arguments


def test_a_changed_input_is_not_resumed(
    run: Callable[..., int], tmp_path: Path, half: tuple[str, ...], capsys: Any
) -> None:
    with (tmp_path / "people.csv").open("a") as file:
        file.write("1st,male,adult,\n")
    assert run(*half) == 2
    message = capsys.readouterr().err
    assert "another input" in message and "restart=true" in message
    assert run(*half, "restart=true") == 0
    assert len(read(tmp_path / "out.csv")) == 2996


def test_another_model_version_is_not_resumed(
    run: Callable[..., int], tmp_path: Path, half: tuple[str, ...], capsys: Any
) -> None:
    bundles.house_prices(tmp_path / "new" / "house_prices" / "bundle")
    bundles.titanic(tmp_path / "new" / "titanic" / "bundle")
    schema = json.loads((tmp_path / "new/titanic/bundle/schema.json").read_text())
    schema["classes"] = ["no", "yes"]
    (tmp_path / "new/titanic/bundle/schema.json").write_text(json.dumps(schema))
    manifest = json.loads((tmp_path / "new/titanic/bundle/bundle.json").read_text())
    (tmp_path / "new/titanic/bundle/bundle.json").unlink()
    write_manifest(tmp_path / "new/titanic/bundle", **{k: v for k, v in manifest.items() if k != "files"})
    assert run(*half, "bundles=new") == 2
    assert "another model version" in capsys.readouterr().err


def test_two_jobs_cannot_write_the_same_output(
    run: Callable[..., int], tmp_path: Path, half: tuple[str, ...], capsys: Any
) -> None:
    import fcntl

    with (tmp_path / "out.csv.partial" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert run(*half) == 2
    assert "another process" in capsys.readouterr().err


def test_a_complete_output_is_kept(run: Callable[..., int], tmp_path: Path, capsys: Any) -> None:
    write(tmp_path / "people.csv", PEOPLE)
    arguments = ("project=titanic", "input=people.csv", "output=out.csv")
    assert run(*arguments) == 0
    before = (tmp_path / "out.csv").read_bytes()
    write(tmp_path / "people.csv", PEOPLE[:1])
    assert run(*arguments) == 2
    assert "overwrite=true" in capsys.readouterr().err and (tmp_path / "out.csv").read_bytes() == before
    assert run(*arguments, "input=out.csv", "overwrite=true") == 2 and "is the input" in capsys.readouterr().err
    assert run(*arguments, "overwrite=true") == 0
    assert len(read(tmp_path / "out.csv")) == 1


# ---------------------------------------------------------------- memory


PEAK = """
import resource, sys
from serving.batch.__main__ import main
assert main(sys.argv[1:]) == 0
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def peak(folder: Path, *arguments: str) -> int:
    """Peak memory in MiB."""
    command = [sys.executable, "-c", PEAK, *arguments]
    done = subprocess.run(command, cwd=folder, env=environment(PYTHONPATH=str(ROOT)), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return int(done.stdout.split()[-1])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_memory_does_not_grow_with_the_file(artifacts: Path, tmp_path: Path, kind: str) -> None:
    noise = random.Random(0).randbytes(16_000).hex()
    found = []
    for rows in (3_000, 9_000):  # of 32 kB
        many(tmp_path / f"{rows}.csv", rows, noise)
        arguments = (f"bundles={artifacts}", "project=titanic", f"input={rows}.csv", f"output={rows}.out.{kind}")
        found.append(peak(tmp_path, *arguments))
    grown, larger = found[1] - found[0], 6_000 * 32_000 / 2**20
    assert grown < larger / 2, f"{grown} MiB more for a file that is {larger:.0f} MiB larger"


# ---------------------------------------------------------------- what the caller did wrong


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["project=titanic", "input=none.csv"], r"none\.csv: no such file"),
        (["project=titanik"], r"no such model in .*did you mean 'titanic'"),
        (["project=titanic", "input=people.txt"], r"people\.txt: cannot tell the format.*\.parquet"),
        (["project=titanic", "output=out.csv.gz"], r"out\.csv\.gz: cannot tell the format"),
        (["project=titanic", "output=no/out.csv"], r"no: no such folder"),
        (["project=mnist"], r"no column 'image', which mnist needs"),
        (["project=house_prices"], r"no column is a field of house_prices"),
        (["project=titanic", "colour=blue"], r"colour: unknown option"),
        (["project=titanic", "outptu=x"], r"outptu: unknown option; did you mean 'output'"),
        (["project=titanic", "rows=0"], r"rows: found '0'; expected greater than 0"),
        (["project=titanic", "keep=perhaps"], r"keep: found 'perhaps'; expected a valid boolean"),
        (["--project", "titanic"], r"'--project': found no '='"),
        ([], r"project: missing"),
        (["project=titanic", "input=broken.parquet"], r"broken\.parquet: can't be read as Parquet"),
        (["project=titanic", "input=twice.csv"], r"column 'age' appears more than once"),
        (["project=titanic", "input=nothing.csv"], r"nothing\.csv: is empty"),
        (["project=titanic", "input=colon.csv"], r"are the cells separated by commas"),
    ],
)
def test_usage_errors_are_one_helpful_line(
    run: Callable[..., int], tmp_path: Path, capsys: Any, arguments: list[str], message: str
) -> None:
    write(tmp_path / "people.csv", PEOPLE)
    for name in ("people.txt", "broken.parquet"):
        (tmp_path / name).write_text("?")
    (tmp_path / "twice.csv").write_text("age,age\n1,2\n")
    (tmp_path / "nothing.csv").write_text("")
    (tmp_path / "colon.csv").write_text("class:sex:age\n1st:male:adult\n")
    before = sorted(tmp_path.iterdir())
    assert run("input=people.csv", "output=out.csv", *arguments) == 2
    found = capsys.readouterr().err
    assert re.search(message, found) and found.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before


def test_a_misspelt_column_is_reported(run: Callable[..., int], tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "people.csv").write_text("class,Sex,age\n1st,male,adult\n")
    assert run("project=titanic", "input=people.csv", "output=out.csv") == 0
    assert "column 'Sex' is not a field; is 'sex' meant?" in capsys.readouterr().err


def test_a_damaged_archive_is_one_line(run: Callable[..., int], tmp_path: Path, capsys: Any) -> None:
    content = gzip.compress(many(tmp_path / "people.csv", 2000).read_bytes())
    (tmp_path / "people.csv.gz").write_bytes(content[: len(content) // 2])
    assert run("project=titanic", "input=people.csv.gz", "output=out.csv") == 1
    assert "people.csv.gz: is damaged" in capsys.readouterr().err and not (tmp_path / "out.csv").exists()


def test_a_full_disk_is_one_line(run: Callable[..., int], tmp_path: Path, half: tuple[str, ...], capsys: Any) -> None:
    part = json.loads((tmp_path / "out.csv.partial" / "state.json").read_text())["parts"]
    (tmp_path / "out.csv.partial" / f"{part:08}.csv").symlink_to("/dev/full")
    assert run(*half) == 1
    message = capsys.readouterr().err
    assert "No space left on device" in message and "goes on" in message and not (tmp_path / "out.csv").exists()


def test_help_names_every_option_and_exit_code(capsys: Any) -> None:
    assert main(["--help"]) == 0
    message = capsys.readouterr().out
    assert all(word in message for word in ("project=", "max_errors=", "restart=", "Exit codes: 0", "3 no row"))
