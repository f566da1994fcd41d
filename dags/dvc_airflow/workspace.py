"""The workspace of a run: the checkout, or, with overrides, a clone that becomes a DVC experiment.

A clone shares the checkout's DVC cache and Git objects: it takes a second, and unchanged stages stay cached. It is in
DVC's folder of experiment workspaces, survives failed tasks so that they can be retried, and is removed once saved.
"""

import configparser
import fcntl
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import yaml

from dvc_airflow.yaml12 import Yaml12Loader, YamlObject

ABANDONED = 7 * 24 * 3600  # seconds after which the clone of a run that failed is removed


class OverrideError(Exception):
    """An invalid override; the message has it and what is allowed."""


def clones(root: Path) -> Path:
    return root / ".dvc" / "tmp" / "exps"


def slug(run: str) -> str:
    return "airflow-" + re.sub(r"[^a-z0-9]+", "-", run.lower()).strip("-")


def git(folder: Path, *arguments: str, given: bytes | None = None) -> bytes:
    """The output of a Git command; `given` is its input.

    Raises:
        OSError: it failed.
    """
    done = subprocess.run(["git", "-C", str(folder), *arguments], input=given, capture_output=True)
    if done.returncode:
        raise OSError(f"git {arguments[0]}: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout


def head(root: Path) -> str:
    return git(root, "rev-parse", "HEAD").decode().strip()


def clone(root: Path, run: str, commit: str, overrides: list[str]) -> Path:
    """The clone of a run, created if missing: `commit`, the uncommitted changes, and the overrides.

    Raises:
        OverrideError: an override has an unknown key or no value.
        OSError: Git failed, or this checkout lacks the commit of another machine.
    """
    folder = clones(root) / slug(run)
    if folder.exists():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".airflow-", dir=folder.parent) as scratch:
        draft = Path(scratch) / "draft"
        git(root, "clone", "-q", "--shared", "--no-checkout", str(root), str(draft))
        try:
            git(draft, "checkout", "-q", "--detach", commit)
        except OSError:
            raise OSError(f"{root}: found no commit {commit}, at which the run began; run `git fetch` there") from None
        if commit == head(root):
            bring_changes(root, draft)
        share_cache(root, draft)
        params = draft / "params.yaml"
        params.write_text(override(params.read_text(encoding="utf-8"), overrides), encoding="utf-8")
        try:
            draft.rename(folder)
        except OSError:
            if not folder.exists():  # otherwise another task was faster
                raise
    return folder


def bring_changes(root: Path, draft: Path) -> None:
    """Uncommitted and untracked files of the checkout, dvc.lock included."""
    if changes := git(root, "diff", "--binary", "HEAD"):
        git(draft, "apply", "--whitespace=nowarn", given=changes)
    new = git(root, "ls-files", "-z", "--others", "--exclude-standard").decode().split("\0")
    for name in [*filter(None, new), "dvc.lock"]:
        if (root / name).is_file() and not (draft / name).exists():
            (draft / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, draft / name)


def share_cache(root: Path, draft: Path) -> None:
    """Copies the checkout's DVC settings, with the checkout's cache."""
    config = configparser.RawConfigParser()
    config.read(root / ".dvc" / "config.local")
    if not config.has_section("cache"):
        config.add_section("cache")
    config["cache"].setdefault("dir", str(root / ".dvc" / "cache"))
    with (draft / ".dvc" / "config.local").open("w") as file:
        config.write(file)


def override(text: str, overrides: list[str]) -> str:
    """params.yaml with `key=value` set, `+key=value` added and `~key` removed: Hydra's grammar for plain keys.

    Raises:
        OverrideError: see `clone`.
    """
    if not overrides:
        return text
    values = yaml.load(text, Yaml12Loader)
    for one in overrides:
        key, equals, value = one.strip().partition("=")
        adds, removes = key.startswith("+"), key.startswith("~")
        *parents, last = key.lstrip("+~").strip().split(".")
        if not last or bool(equals) == removes:
            raise OverrideError(f"overrides: found {one!r}; expected key=value, such as projects.mnist.model.lr=0.01")
        node = values
        for depth, name in enumerate(parents):
            node = (
                node.setdefault(name, {})
                if adds and isinstance(node, dict)
                else child(node, name, one, parents[:depth])
            )
        if removes:
            child(node, last, one, parents)
            del node[last]
            continue
        if not (adds and isinstance(node, dict)):
            child(node, last, one, parents)
        try:
            node[last] = yaml.load(value, Yaml12Loader)
        except yaml.YAMLError:
            raise OverrideError(f"overrides: {one!r}: {value!r} is not a YAML value") from None
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True)


def child(node: object, name: str, one: str, parents: list[str]) -> object:
    """The value of a key that the override `one` names.

    Raises:
        OverrideError: there is no such key.
    """
    if not isinstance(node, dict) or name not in node:
        where = ".".join(parents) or "params.yaml"
        allowed = ", ".join(map(str, node)) if isinstance(node, dict) else "nothing, it is a value"
        raise OverrideError(f"overrides: {one!r}: {where} has no {name!r}; allowed: {allowed}")
    return node[name]


def save(root: Path, folder: Path, run: str, stages: list[str], dvc: str, env: dict[str, str]) -> str:
    """Saves the clone as a DVC experiment of the checkout, removes it, and returns the experiment's name.

    `stages`: those that ran in it, because it lacks the outputs of others, which DVC would report as missing.

    Raises:
        OSError: DVC or Git failed.
    """
    name = slug(run)
    command = [dvc, "exp", "save", "--force", "--name", name, *stages]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
    if done.returncode:
        raise OSError(f"dvc exp save: {done.stderr.strip()}")
    git(root, "fetch", "-q", str(folder), f"+refs/exps/*/{name}:refs/exps/*/{name}")  # but not DVC's own refs
    shutil.rmtree(folder)
    return name


def prune(root: Path) -> None:
    """Removes old clones of failed runs."""
    for folder in clones(root).glob("airflow-*"):
        if folder.stat().st_mtime < time.time() - ABANDONED:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def dvc_locked(folder: Path, seconds: float = 60) -> Iterator[None]:
    """Holds DVC's lock on the repository and dvc.lock.

    Raises:
        OSError: another process still has it after so many seconds.
    """
    path = folder / ".dvc" / "tmp" / "lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT)
    try:
        deadline = time.monotonic() + seconds
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise OSError(f"{path}: locked by another DVC process for {seconds:.0f} s") from None
                time.sleep(0.1)
        yield
    finally:
        os.close(handle)


def entry(folder: Path, address: str) -> YamlObject | None:
    """A stage's entry in dvc.lock: its command, and the hashes of its dependencies and outputs."""
    try:
        lock = yaml.load((folder / "dvc.lock").read_text(), Yaml12Loader)
    except FileNotFoundError:
        return None
    return ((lock or {}).get("stages") or {}).get(address)


class LockDumper(yaml.SafeDumper):
    """Quotes hashes that are numbers in YAML 1.2 (DVC) but not in YAML 1.1 (PyYAML)."""


def as_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "'" if re.fullmatch(r"[\d.]+(e\d+)?", text) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


LockDumper.add_representer(str, as_text)


def merge(folder: Path, entries: Mapping[str, YamlObject]) -> None:
    """Merges entries from dvc.lock of other machines into this one's."""
    path = folder / "dvc.lock"
    with dvc_locked(folder):
        lock = yaml.load(path.read_text(), Yaml12Loader) if path.exists() else None
        lock = lock or {"schema": "2.0", "stages": {}}
        if all(lock["stages"].get(address) == one for address, one in entries.items()):
            return
        lock["stages"].update(entries)
        draft = path.with_suffix(".draft")
        draft.write_text(yaml.dump(lock, Dumper=LockDumper, sort_keys=False, allow_unicode=True))
        draft.replace(path)
