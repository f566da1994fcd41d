"""python -m serving.batch project=titanic input=people.csv output=scored.parquet"""

import difflib
import logging
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from roadmap.bundle import Bundle, load_predictor
from roadmap.io import command_line
from roadmap.io.errors import CommandError, UsageError, nearest
from serving.batch.formats import OUTPUTS, existing, extension, open_source, output_schema
from serving.batch.job import Job, Scorer, ScoringProgress, TooManyErrors
from serving.batch.requests import Requests
from serving.batch.rows import Damaged, RowSource
from serving.batch.scored import Layout
from serving.runtime.cells import Columns
from serving.settings import CORES, Settings
from serving.sources import SourceError
from serving.sources import open_source as open_bundles

if TYPE_CHECKING:
    import tqdm

ROWS = 10_240
NOTHING = 3  # exit code: no row was scored
KEPT = "What is done is kept: the same command goes on"
HELP = """\
Scores a file of any size with a project's predictor.

  python -m serving.batch project=titanic input=people.csv output=scored.parquet

Reads .csv, .csv.gz, .jsonl, .jsonl.gz and .parquet; writes .csv, .jsonl and .parquet. A row holds the fields of a
request, as /docs shows them; other columns are passed through. A CSV is read as training reads one: cells may be
separated by semicolons or tabs, blanks around them mean nothing, an empty cell or a word like NA is a null; lists are
JSON text.
The output has the input's columns, then the answer's fields (output_<name> where the input has that column too).
From JSON Lines to another format, the columns are those of the first 1,000 rows.

Rows that can't be answered go to <output>.errors.jsonl, with their number and the reason, and aren't in the output. A
level that training has never seen counts as an average row's, and is a warning there; strict=true refuses it.
A job that was killed goes on when the same command is given again, and ends with the same file. (Text generators: if
every row has its seed.) Until the end, what is done lies in <output>.partial/.

Exit codes: 0 at least one row was scored; 1 stopped: the disk, a damaged input, max_errors; 2 the command is wrong;
3 no row was scored, and no output written.
"""


class Options(command_line.Options):
    project: str = Field(description="whose model answers")
    input: Path = Field(description="file to score")
    output: Path = Field(description="file to write")
    bundles: str = Field("artifacts", description="where the models are, as for `python -m serving`")
    keep: bool = Field(True, description="false: the output has the row's number in place of the input's columns")
    rows: Annotated[int, Field(gt=0)] | None = Field(
        None, description="that are saved at once: what a kill can cost (10240; fewer for text generators)"
    )
    threads: Annotated[int, Field(gt=0)] = Field(CORES, description="that compute")
    strict: bool = Field(False, description="true: a row with a level that training has never seen is refused")
    max_errors: Annotated[int, Field(ge=0)] | None = Field(None, description="rows refused before the job stops")
    overwrite: bool = Field(False, description="true: an output that exists is replaced, at the end")
    restart: bool = Field(False, description="true: what a killed run has done is thrown away")


def main(argv: list[str] | None = None) -> int:
    """-> the exit code"""
    return command_line.run({"": (Options, run)}, HELP, sys.argv[1:] if argv is None else argv)


def run(options: Options) -> int:
    """-> the exit code

    Raises:
        CommandError: stopped; what is done is kept.
        UsageError, BundleError, SourceError: before anything is written.
    """
    try:
        return score(options)
    except (TooManyErrors, Damaged) as error:
        raise CommandError(f"{error}. {KEPT}") from None
    except ModuleNotFoundError as error:
        raise UsageError(f"{error.name} is not installed; the extra `batch` of this project brings it") from None
    except OSError as error:
        raise CommandError(f"{error.filename or 'disk'}: {error.strerror or error}. {KEPT}") from None
    except KeyboardInterrupt:
        raise CommandError(f"interrupted. {KEPT}", command_line.INTERRUPTED) from None


def score(options: Options) -> int:
    """Checks everything that can be wrong before it works.

    Raises:
        UsageError, BundleError, SourceError: before anything is written.
        TooManyErrors, Damaged, OSError: what is done is kept.
    """
    extension(options.output, OUTPUTS)
    existing(options.input)
    if options.output.exists() and options.output.samefile(options.input):
        raise UsageError(f"{options.output}: is the input")
    if options.output.exists() and not options.overwrite:
        raise UsageError(f"{options.output}: exists already, and is whole; overwrite=true scores again")
    if not options.output.parent.is_dir():
        raise UsageError(f"{options.output.parent}: no such folder")
    bundle = open_bundle(options.bundles, options.project)
    predictor = load_predictor(bundle)
    columns = Columns(predictor.Request)
    source = open_source(options.input, columns)
    requests = Requests(predictor.Request, columns, source.format, source.delimiter)
    check(source, requests, options)
    outputs = list(predictor.Response.model_fields)
    kept = source.columns if options.keep else []
    layout = Layout(kept, None if options.keep else "row", {n: f"output_{n}" if n in kept else n for n in outputs})
    if clash := [name for name in layout.outputs.values() if name in kept]:
        raise UsageError(f"{options.input}: already has columns {', '.join(clash)}; keep=false leaves them out")
    rows = options.rows or predictor.max_inputs or ROWS
    stat = options.input.stat()
    identity = {
        "project": options.project,
        "model version": bundle.manifest.version,
        "input": f"{options.input.resolve()}, {stat.st_size} bytes, modified {stat.st_mtime_ns}",
        "rows": rows,
        "keep": options.keep,
        "strict": options.strict,
    }
    schema = output_schema(options.output, layout, source, predictor.Request, predictor.Response)
    job = Job(source, options.output, identity, layout, schema)
    lock = job.claim(options.restart)
    if job.state.parts:
        print(f"goes on behind row {job.state.at.row:,}")
    started, before = time.perf_counter(), job.state.scored + job.state.refused
    with lock, bar(source, job.state) as progress:

        def show(state: ScoringProgress) -> None:
            rate = (state.scored + state.refused - before) / (time.perf_counter() - started)
            progress.set_postfix_str(f"{state.at.row:,} rows, {rate:,.0f} rows/s, {state.refused:,} refused", False)
            progress.update(source.done(state.at) - progress.n)

        job.run(Scorer(predictor, requests, options.strict), rows, options.threads, options.max_errors, show)
        job.finish()
    return summary(job, time.perf_counter() - started, before)


def open_bundle(bundles: str, project: str) -> Bundle:
    """Raises: UsageError, SourceError, BundleError."""
    settings = Settings()
    found = open_bundles(bundles, settings.cache).find()
    if project not in found:
        raise UsageError(f"project={project}: no such model in {bundles}; {nearest(project, found)}")
    one = found[project]
    if isinstance(one, SourceError):
        raise one
    return Bundle(one.fetch(), settings.execution)


def check(source: RowSource, requests: Requests, options: Options) -> None:
    """The columns, before any work starts. Raises: UsageError: one that is needed is missing, or none is a field."""
    if not source.columns:
        return
    unknown = [name for name in source.columns if name not in requests.columns.names]
    missing = [name for name in requests.columns.names if name not in source.columns]
    for name in missing:
        if name in requests.columns.required:
            raise UsageError(
                f"{options.input}: no column {name!r}, which {options.project} needs; {nearest(name, source.columns)}"
            )
    if len(missing) == len(requests.columns.names):
        fields = ", ".join(requests.columns.names)
        hint = "; are the cells separated by commas, semicolons, tabs or bars?" if len(source.columns) == 1 else ""
        raise UsageError(f"{options.input}: no column is a field of {options.project}, which are: {fields}{hint}")
    for name in missing:
        if near := close(name, unknown):
            warning = f"column {near!r} is not a field; is {name!r} meant? It is taken as not given"
            print(f"warning: {warning}", file=sys.stderr)
        elif requests.columns.tabular:
            print(f"warning: no column {name!r}: it is taken as not given", file=sys.stderr)
    read = ", ".join(name for name in source.columns if name in requests.columns.names)
    print(f"{options.input}: {options.project} reads {read}")


def bar(source: RowSource, state: ScoringProgress) -> "tqdm.tqdm":
    """tqdm's progress bar, over what `RowSource.done` counts."""
    from tqdm import tqdm

    layout = "{percentage:3.0f}%|{bar}| {elapsed}<{remaining}, {postfix}"
    return tqdm(total=source.size, initial=source.done(state.at), bar_format=layout, disable=None)


def summary(job: Job, seconds: float, before: int) -> int:
    """-> the exit code. seconds: that this run took; before: rows that earlier runs had done

    Raises:
        CommandError: no row was scored.
    """
    state = job.state
    rate = (state.scored + state.refused - before) / seconds
    if state.refused:
        print(f"warning: {state.refused:,} rows were refused: {job.errors}", file=sys.stderr)
    if state.warned:
        print(f"warning: {state.warned:,} rows were scored, and are odd: {job.errors}", file=sys.stderr)
    if not state.scored:
        raise CommandError("no row was scored" if state.refused else "the input has no rows", NOTHING)
    print(f"{state.scored:,} rows scored in {seconds:.1f} s ({rate:,.0f} rows/s): {job.output}")
    return 0


def close(name: str, known: Iterable[str]) -> str | None:
    """The known name that is nearest, whatever the case; None if none is near."""
    lowered = {one.lower(): one for one in known}
    return next((lowered[near] for near in difflib.get_close_matches(name.lower(), lowered, 1)), None)


if __name__ == "__main__":
    logging.basicConfig(format="%(levelname)s: %(message)s")
    sys.exit(main())
