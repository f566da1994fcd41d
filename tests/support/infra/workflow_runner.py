"""Runs a workflow's job on this machine like GitHub's runner: expressions, `if:`, environment, and what a step passes
to the next through GITHUB_OUTPUT, GITHUB_ENV, GITHUB_PATH and GITHUB_STEP_SUMMARY. `uses:` steps are not run: their
outputs are given.
"""

import json
import os
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

TOKEN = re.compile(r"\s*(?:'((?:[^']|'')*)'|(\d+(?:\.\d+)?)|(==|!=|&&|\|\||[!()\[\],.<>*])|([A-Za-z_][\w-]*))")


class Loader(yaml.SafeLoader):
    """`on:` is a key, not a boolean."""


Loader.yaml_implicit_resolvers = {
    first: [one for one in resolvers if one[0] != "tag:yaml.org,2002:bool" or first not in "oOyYnN"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def load(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.load(path.read_text(), Loader)
    return content


# ---------------------------------------------------------------- expressions


def tokens(text: str) -> list[tuple[str, Any]]:
    found, position, text = [], 0, text.rstrip()
    while position < len(text):
        match = TOKEN.match(text, position)
        if match is None:
            raise ValueError(f"not an expression: {text!r} at {position}")
        string, number, operator, name = match.groups()
        if string is not None:
            found.append(("value", string.replace("''", "'")))
        elif number:
            found.append(("value", float(number)))
        else:
            found.append(("operator", operator) if operator else ("name", name))
        position = match.end()
    return found


class Expression:
    """GitHub's expressions: contexts, literals, ! == != && ||, format, fromJSON, and the state of the job."""

    def __init__(self, text: str, context: dict[str, Any]) -> None:
        self.rest, self.context = tokens(text), context

    def value(self) -> Any:
        found = self.either()
        if self.rest:
            raise ValueError(f"left over: {self.rest}")
        return found

    def takes(self, operator: str) -> bool:
        if self.rest[:1] == [("operator", operator)]:
            self.rest.pop(0)
            return True
        return False

    def either(self) -> Any:
        found = self.both()
        while self.takes("||"):
            other = self.both()
            found = found or other
        return found

    def both(self) -> Any:
        found = self.compared()
        while self.takes("&&"):
            other = self.compared()
            found = found and other
        return found

    def compared(self) -> Any:
        found = self.single()
        if self.takes("=="):
            return (found or "") == (self.single() or "")
        if self.takes("!="):
            return (found or "") != (self.single() or "")
        return found

    def single(self) -> Any:
        if self.takes("!"):
            return not self.single()
        if self.takes("("):
            found = self.either()
            assert self.takes(")")
            return found
        kind, found = self.rest.pop(0)
        if kind == "value":
            return found
        assert kind == "name", found
        if self.takes("("):
            arguments = []
            while not self.takes(")"):
                arguments.append(self.either())
                self.takes(",")
            return self.call(found, arguments)
        if found in ("true", "false", "null"):
            return {"true": True, "false": False, "null": None}[found]
        value = self.context[found]
        while self.takes("."):
            value = (value or {}).get(self.rest.pop(0)[1])
        return value

    def call(self, name: str, arguments: list[Any]) -> Any:
        if name in ("success", "failure", "always", "cancelled"):
            failed = bool(self.context.get("failed"))
            return {"success": not failed, "failure": failed, "always": True, "cancelled": False}[name]
        if name == "fromJSON":
            return json.loads(arguments[0])
        assert name == "format", name
        text = str(arguments[0])
        for number, one in enumerate(arguments[1:]):
            text = text.replace(f"{{{number}}}", str(one))
        return text


def fill(template: Any, context: dict[str, Any]) -> Any:
    """Replaces every `${{ }}` in a string; a single one keeps its type."""
    if not isinstance(template, str):
        return template
    parts = re.split(r"\$\{\{(.*?)\}\}", template)
    if len(parts) == 3 and not parts[0] and not parts[2]:
        return Expression(parts[1], context).value()
    values = (text if i % 2 == 0 else written(Expression(text, context).value()) for i, text in enumerate(parts))
    return "".join(values)


def written(value: Any) -> str:
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


# ---------------------------------------------------------------- the runner


@dataclass
class Step:
    """The result of a step."""

    name: str
    state: str  # ran | failed | skipped | used
    output: str = ""
    given: dict[str, Any] = field(default_factory=dict)  # env of a `run`, `with` of a `uses`


@dataclass
class Runner:
    """A machine with a checkout in `folder`; `env` is what GitHub sets, `actions` the outputs of `uses:` steps."""

    folder: Path
    scratch: Path
    env: dict[str, str]
    actions: dict[str, dict[str, str]] = field(default_factory=dict)
    without: tuple[str, ...] = ()  # commands to skip on this machine
    summary: str = ""

    def job(self, workflow: dict[str, Any], name: str, **context: Any) -> list[Step]:
        """Stops at the first failing step, except for steps with always() or failure()."""
        job = workflow["jobs"][name]
        empty: dict[str, Any] = {key: {} for key in ("inputs", "vars", "matrix", "github", "needs", "secrets")}
        known: dict[str, Any] = {**empty, "steps": {}, **context}
        env = {**self.env, **self.filled(workflow.get("env"), known), **self.filled(job.get("env"), known)}
        done = []
        for step in job["steps"]:
            condition = str(step.get("if", "")).strip().removeprefix("${{").removesuffix("}}").strip()
            wanted = bool(Expression(condition, known).value()) if condition else True
            if known.get("failed") and not re.search(r"\b(always|failure)\(", condition):
                wanted = False
            title = step.get("run") or step["uses"].partition("@")[0]
            if not wanted or title in self.without:
                done.append(Step(title, "skipped"))
                continue
            outputs: dict[str, str] = {}
            if "uses" in step:
                given = {key: written(fill(value, known)) for key, value in (step.get("with") or {}).items()}
                self.check(title, given)
                outputs = self.actions.get(title, {})
                done.append(Step(title, "used", given=given))
            else:
                own = {**env, **self.filled(step.get("env"), known)}
                done.append(self.run(step["run"], own, env, outputs))
                known["failed"] = known.get("failed") or done[-1].state == "failed"
            if "id" in step:
                known["steps"][step["id"]] = {"outputs": outputs}
        return done

    def filled(self, env: dict[str, Any] | None, known: dict[str, Any]) -> dict[str, str]:
        return {key: written(fill(value, known)) for key, value in (env or {}).items()}

    def check(self, action: str, given: dict[str, str]) -> None:
        """Uploaded files must exist."""
        if action == "actions/upload-artifact":
            path = self.folder / given["path"]
            assert path.is_file() or (path.is_dir() and any(path.iterdir())), f"{given['path']}: nothing to upload"

    def run(self, script: str, env: dict[str, str], later: dict[str, str], outputs: dict[str, str]) -> Step:
        self.scratch.mkdir(exist_ok=True)
        files = {key: self.scratch / key.lower() for key in ("OUTPUT", "ENV", "PATH", "STEP_SUMMARY")}
        for path in files.values():
            path.write_text("")
        own = {**env, **{f"GITHUB_{key}": str(path) for key, path in files.items()}, "CI": "true"}
        done = subprocess.run(
            ["bash", "-e", "-c", script],
            cwd=self.folder,
            env=own,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=3600,
        )
        outputs.update(pairs(files["OUTPUT"].read_text()))
        later.update(pairs(files["ENV"].read_text()))
        for line in files["PATH"].read_text().split():
            later["PATH"] = f"{line}{os.pathsep}{later['PATH']}"
        self.summary += files["STEP_SUMMARY"].read_text()
        return Step(script, "failed" if done.returncode else "ran", done.stdout, own)


def pairs(text: str) -> dict[str, str]:
    """name=value, or name<<END, lines, END."""
    found, lines = {}, iter(text.splitlines())
    for line in lines:
        if match := re.fullmatch(r"([\w-]+)<<(\S+)", line):
            inside: list[str] = []
            while (one := next(lines)) != match[2]:
                inside.append(one)
            found[match[1]] = "\n".join(inside)
        else:
            name, _, value = line.partition("=")
            found[name] = value
    return found
