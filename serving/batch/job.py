"""A job that can be killed at any time: parts in <output>.partial/, and a state that says how far they reach."""

import fcntl
import logging
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from pydantic import BaseModel, ValidationError

from roadmap.bundle import Notes, Predictor
from roadmap.io.atomic import atomic_file, replace
from roadmap.io.errors import UsageError
from roadmap.io.json import JsonObject
from serving.batch.formats import OUTPUTS, extension, join, open_sink
from serving.batch.requests import InvalidRow, Requests
from serving.batch.rows import InputRow, Position, RowBatch, RowSource
from serving.batch.scored import Layout, Scored, dumps
from serving.batch.text_sink import join_texts
from serving.errors import pointer
from serving.runtime.models import NOT_FINITE, finite

if TYPE_CHECKING:
    import pyarrow as pa

BATCH = 256  # rows that a predictor is given at once

log = logging.getLogger("serving.batch")


class TooManyErrors(Exception):
    """More rows were refused than the caller allows."""


class ScoringProgress(BaseModel):
    """What has been done. Parts behind `parts` don't count."""

    identity: dict[str, Any]
    parts: int = 0
    at: Position = Position()
    scored: int = 0
    refused: int = 0
    warned: int = 0  # of those scored


class Scorer:
    """Answers batches of rows, from several threads at once."""

    def __init__(self, predictor: Predictor, requests: Requests, strict: bool = False) -> None:
        """strict: a row with a value that training has never seen is refused"""
        self.predictor, self.requests, self.strict = predictor, requests, strict

    def __call__(self, batch: RowBatch) -> Scored:
        places, requests, errors = [], [], []
        warnings: dict[int, dict[str, Any]] = {}
        for place, row in enumerate(batch.rows):
            try:
                if row.fault:
                    raise InvalidRow([{"pointer": "#", "detail": row.fault}])
                request = self.requests.parse(row.values)
                odd = [{"pointer": "#", "detail": row.warning}] if row.warning else []
                if found := odd + self.notes(request):
                    warnings[place] = report(row, found, "warnings")
                requests.append(request)
                places.append(place)
            except InvalidRow as refused:
                errors.append(report(row, refused.faults))
        scored = Scored(batch.end, [], [], [], errors, [], [], batch.table)
        for place, request, output in zip(places, requests, self.answers(requests), strict=True):
            row = batch.rows[place]
            if isinstance(output, str):
                scored.errors.append(report(row, [{"pointer": "#", "detail": output}]))
                continue
            scored.rows.append(row)
            scored.requests.append(request)
            scored.outputs.append(output)
            scored.places.append(place)
            if place in warnings:
                scored.warnings.append(warnings[place])
        return scored

    def notes(self, request: BaseModel) -> list[dict[str, str]]:
        """Levels that training has never seen. Gaps are the file's own; columns that it lacks were told at the start.

        Raises:
            InvalidRow: it is to be refused.
        """
        if not isinstance(self.predictor, Notes):
            return []
        notes = [note for note in self.predictor.notes(request) if note.kind == "unseen"]
        found = [{"pointer": pointer([note.field]), "detail": note.detail} for note in notes]
        if self.strict and found:
            raise InvalidRow(found)
        return found

    def answers(self, requests: list[BaseModel]) -> list[JsonObject | str]:
        """An output for each request, or words that say why there is none."""
        if not requests:
            return []
        try:
            outputs = [output.model_dump() for output in self.predictor.predict(requests)]
        except Exception as error:  # one row may be at fault: it shall not take the others with it
            if len(requests) > 1:
                return [answer for request in requests for answer in self.answers([request])]
            log.debug("a row can't be answered", exc_info=True)
            return [f"the model failed: {type(error).__name__}: {error}"]
        return list(outputs) if finite(outputs) else [one if finite(one) else NOT_FINITE for one in outputs]


def report(row: InputRow, faults: list[dict[str, str]], kind: str = "errors") -> JsonObject:
    """A line of the errors file: `errors` of a row that was refused, `warnings` of one that was scored."""
    line = {} if row.line is None else {"line": row.line}
    return {"row": row.number, **line, kind: faults, "values": row.values if row.fault is None else row.raw}


class Job:
    """
    Raises:
        UsageError: parts of another job lie where this one's would, or another process writes them now.
    """

    def __init__(
        self, source: RowSource, output: Path, identity: JsonObject, layout: Layout, schema: "pa.Schema | None"
    ) -> None:
        self.source, self.output, self.layout, self.schema = source, output, layout, schema
        self.kind = extension(output, OUTPUTS)
        self.errors = output.with_name(output.name + ".errors.jsonl")
        self.folder = output.with_name(output.name + ".partial")
        self.state = ScoringProgress(identity=identity)

    def claim(self, restart: bool) -> TextIO:
        """Takes the folder of parts, for as long as the result is open, and what a killed run has left there.

        Raises:
            UsageError: the folder is not of this command, another process writes there, or the state is unreadable or
                that of another job.
        """
        ours = (self.folder / "lock").exists() or not self.folder.exists()
        if not ours:
            raise UsageError(f"{self.folder}: is not of this command; move it away")
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = (self.folder / "lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(f"{self.folder}: another process writes there now") from None
        state = self.folder / "state.json"
        if restart or not state.exists():
            self.clear()
            self.commit()
            return lock
        try:
            found = ScoringProgress.model_validate_json(state.read_bytes())
        except ValidationError:
            raise UsageError(f"{state}: can't be read; restart=true starts anew") from None
        for key, now in self.state.identity.items():
            if (then := found.identity.get(key)) != now:
                raise UsageError(
                    f"{self.folder} was begun with another {key}: {then}, and now it is {now}; restart=true starts anew"
                )
        self.state = found
        return lock

    def clear(self) -> None:
        """The state first: without it, what is left of the parts counts for nothing."""
        (self.folder / "state.json").unlink(missing_ok=True)
        for path in self.folder.iterdir():
            if path.name != "lock":
                path.unlink()

    def run(
        self, scorer: Scorer, rows: int, threads: int, most: int | None, progress: Callable[[ScoringProgress], None]
    ) -> None:
        """Scores what is not scored yet.

        Raises:
            TooManyErrors: more than `most` rows were refused.
            Damaged: the input can't be read on.
        """
        size = min(BATCH, rows, scorer.predictor.max_inputs or BATCH)
        with ThreadPoolExecutor(threads) as pool:
            scored = in_order(pool, scorer, self.source.batches(self.state.at, size), ahead=2 * threads)
            for first in scored:
                self.part(chain([first], scored), rows, progress)
                if most is not None and self.state.refused > most:
                    raise TooManyErrors(f"{self.state.refused:,} rows were refused, more than max_errors={most}")

    def part(self, scored: Iterator[Scored], rows: int, progress: Callable[[ScoringProgress], None]) -> None:
        """Writes batches until they hold so many rows of the input, then counts them as done."""
        path, errors = self.path(self.state.parts, self.kind), self.path(self.state.parts, ".errors.jsonl")
        sink = open_sink(path, self.layout, self.schema, from_text=self.source.format == "csv")
        state = self.state.model_copy()
        with errors.open("w", encoding="utf-8") as refused:
            for one in scored:
                sink.write(one)
                aside = sorted(one.errors + one.warnings, key=lambda row: row["row"])
                refused.writelines(dumps(row) + "\n" for row in aside)
                state.at, state.scored = one.end, state.scored + len(one.rows)
                state.refused += len(one.errors)
                state.warned += len(one.warnings)
                progress(state)
                if state.at.row - self.state.at.row >= rows:
                    break
        sink.close()
        sync(path)
        if errors.stat().st_size:
            sync(errors)
        else:
            errors.unlink()
        state.parts += 1
        self.state = state
        self.commit()

    def commit(self) -> None:
        """Writes the state at once and to the disk: what it counts is done."""
        with atomic_file(self.folder / "state.json") as draft:
            draft.write_text(self.state.model_dump_json() + "\n")
            sync(draft)

    def finish(self) -> None:
        """The parts as one file, then nothing but this file and that of the errors."""
        parts = [self.path(number, self.kind) for number in range(self.state.parts)]
        refused = [path for n in range(self.state.parts) if (path := self.path(n, ".errors.jsonl")).exists()]
        whole = self.folder / f"whole{self.kind}"
        if self.state.scored:
            join(parts, whole, self.layout, self.schema)
        join_texts(refused, self.folder / "errors.jsonl")
        if refused:
            replace(self.folder / "errors.jsonl", self.errors)
        else:
            self.errors.unlink(missing_ok=True)
        if self.state.scored:
            sync(whole)
            replace(whole, self.output)
        self.clear()
        (self.folder / "lock").unlink()
        self.folder.rmdir()

    def path(self, part: int, kind: str) -> Path:
        """Where a part lies. kind: the end of its name"""
        return self.folder / f"{part:08}{kind}"


def in_order(
    pool: ThreadPoolExecutor, work: Callable[[RowBatch], Scored], batches: Iterable[RowBatch], ahead: int
) -> Iterator[Scored]:
    """`pool.map` that reads no further than `ahead`, so that the memory it takes has a bound."""
    waiting: deque[Future[Scored]] = deque()
    for batch in batches:
        waiting.append(pool.submit(work, batch))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def sync(path: Path) -> None:
    """On the disk, so that a state that is written next never promises what a power cut has taken."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
