"""Known vulnerabilities of a lock's packages, except those that advisories.toml accepts for a time.

pip-audit queries PyPI. If the index has no advisories, set PIP_AUDIT_VULNERABILITY_SERVICE=osv to query OSV, or
PIP_AUDIT_OSV_URL for a mirror of it.
"""

import json
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from datetime import date
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from roadmap.io.errors import UsageError
from roadmap.io.json import JsonObject

FILE = Path(__file__).with_suffix(".toml")


class AuditError(UsageError):
    """The audit failed; the message is one line."""


class Accepted(BaseModel):
    """A decision to accept one advisory for a time."""

    model_config = ConfigDict(extra="forbid", strict=True, str_min_length=1)
    id: str
    package: str
    why: str
    until: date


def accepted(file: Path = FILE) -> list[Accepted]:
    """
    Raises:
        AuditError: an entry is incomplete, or the file is not TOML.
    """
    try:
        entries = tomllib.loads(file.read_text()).get("accepted", [])
        return [Accepted.model_validate(entry) for entry in entries]
    except tomllib.TOMLDecodeError as error:
        raise AuditError(f"{file}: not TOML: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise AuditError(
            f"{file}: an entry of [[accepted]]: {where}: {first['msg']}; {error.error_count()} in all"
        ) from None


def audit(lock: Path) -> list[JsonObject]:
    """The packages of a lock with an advisory: name, version, vulns.

    Raises:
        AuditError: a package could not be audited.
    """
    command = [sys.executable, "-m", "pip_audit", "-r", str(lock), "--no-deps", "--disable-pip", "-f", "json"]
    done = subprocess.run(command, capture_output=True, text=True)
    if not done.stdout:
        raise AuditError(f"{lock}: not audited: {(done.stderr.strip() or 'no output of pip-audit').splitlines()[-1]}")
    found = json.loads(done.stdout)["dependencies"]
    if skipped := [one["name"] for one in found if "skip_reason" in one]:
        raise AuditError(f"{lock}: the index has no advisories for {len(skipped)} packages, such as {skipped[0]}")
    return [one for one in found if one["vulns"]]


def report(locks: Iterable[Path], decisions: list[Accepted], today: date) -> int:
    """Prints the findings; returns how many block a release: advisories, and expired decisions."""
    stops, used = 0, set()
    for lock in locks:
        for one in audit(lock):
            for advisory in one["vulns"]:
                names = {advisory["id"], *advisory["aliases"]}
                decision = next((each for each in decisions if each.package == one["name"] and each.id in names), None)
                if decision:
                    used.add(decision.id)
                    outcome = f"accepted until {decision.until}: {decision.why}"
                else:
                    stops += 1
                    outcome = f"fixed in {', '.join(advisory['fix_versions']) or 'no version yet'}"
                print(f"{lock}: {one['name']} {one['version']}: {advisory['id']}, {outcome}")
    for decision in decisions:
        if decision.until < today:
            stops += 1
            print(f"{FILE.name}: {decision.package}: {decision.id} was accepted until {decision.until}; review it")
        elif decision.id not in used:
            print(f"{FILE.name}: {decision.package}: {decision.id} is no longer found; remove it")
    return stops
