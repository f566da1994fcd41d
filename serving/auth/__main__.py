"""python -m serving.auth new | list | revoke: manages API keys."""

import argparse
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import ValidationError

from serving.auth.callers import KeysError
from serving.auth.keys import Key, KeyFile, fresh


def main(argv: list[str] | None = None) -> int:
    """-> the exit code"""
    options = _parser().parse_args(argv)
    try:
        return int(options.run(options))
    except KeysError as error:
        print(f"serving.auth: {error}", file=sys.stderr)
    except ValidationError as error:
        print(f"serving.auth: {error.errors(include_input=False)[0]['msg']}", file=sys.stderr)
    return 2


def _new(options: argparse.Namespace) -> int:
    found = KeyFile.read(options.file) if options.file.exists() else KeyFile()
    if any(key.name == options.name for key in found.keys):
        raise KeysError(f"{options.file}: found a key named {options.name}; revoke it first or choose another name")
    expires = datetime.now(UTC).replace(microsecond=0) + timedelta(days=options.days) if options.days else None
    secret, key = fresh(options.name, options.projects, options.metrics, expires)
    found.keys.append(key)
    found.write(options.file)
    print(secret)
    print(f"{options.name} is in {options.file}. This is the only time that the key is shown.", file=sys.stderr)
    return 0


def _list(options: argparse.Namespace) -> int:
    for key in KeyFile.read(options.file).keys:
        until = f"until {key.expires.isoformat()}" if key.expires else "for good"
        print(f"{key.name:<24} {','.join(key.projects):<32} {'metrics ' if key.metrics else ''}{until}")
    return 0


def _revoke(options: argparse.Namespace) -> int:
    found = KeyFile.read(options.file)
    left: list[Key] = [key for key in found.keys if key.name != options.name]
    if len(left) == len(found.keys):
        raise KeysError(f"{options.file}: found no key named {options.name}")
    KeyFile(keys=left).write(options.file)
    return 0


def _parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser("python -m serving.auth", description="Manages API keys.")
    commands = options.add_subparsers(required=True, metavar="new | list | revoke")
    new = commands.add_parser("new", help="prints a new key and stores its hash")
    new.add_argument("--name", required=True, help="owner of the key, for the audit log")
    new.add_argument("--projects", default="", type=_names, help="comma-separated, * for all", metavar="NAMES")
    new.add_argument("--metrics", action="store_true", help="allows reading /metrics")
    new.add_argument("--days", type=int, help="days until it expires; default: never")
    revoke = commands.add_parser("revoke", help="revokes a key; servers notice within a second")
    revoke.add_argument("--name", required=True)
    shown = commands.add_parser("list", help="lists names, projects and expiry dates")
    for command, run in ((new, _new), (revoke, _revoke), (shown, _list)):
        command.add_argument("--file", required=True, type=Path, help="file of the server's --api-keys")
        command.set_defaults(run=run)
    return options


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


if __name__ == "__main__":
    sys.exit(main())
