"""The images of infra/docker: python -m infra.images <command> [<image> ...]

build    builds with Docker or Podman, as roadmap/<image>:<commit> and :latest; BASE_IMAGE overrides the base
sizes    size on top of the base, in MB
base     the base's name and digest, into sbom/base.json
sbom     a CycloneDX list of the locked packages, into sbom/<lock>.json
audit    known vulnerabilities of the locked packages, by PyPI's advisories; exit code 1 for any that
         infra/advisories.toml does not accept
"""

import json
import os
import shutil
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

from infra import advisories
from roadmap.io import command_line
from roadmap.io.errors import UsageError

FOLDER = Path(__file__).parent / "docker"
IMAGES = tuple(sorted(path.stem for path in FOLDER.glob("*.Dockerfile")))
LOCKS = (Path("requirements.lock"), Path("infra/airflow/requirements.lock"), Path("infra/docker/serving.lock"))
BASE = "python:3.11-slim-bookworm"
PASSED = ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_TRUSTED_HOST")  # from the environment: index of CPU builds


class ImageError(UsageError):
    """Building an image failed; the message is one line."""


def engine() -> str:
    """
    Raises:
        ImageError: neither is reachable.
    """
    for name in ("docker", "podman"):
        if shutil.which(name) and subprocess.run([name, "info"], capture_output=True).returncode == 0:
            return name
    raise ImageError("found neither Docker nor Podman; start one or set DOCKER_HOST")


def commit() -> str:
    """The commit's short hash, with a suffix if the working tree is dirty."""
    command = ["git", "describe", "--always", "--dirty", "--exclude=*", "--abbrev=12"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def base() -> str:
    return os.environ.get("BASE_IMAGE") or BASE


def build(image: str) -> str:
    """Builds an image and returns its name.

    Raises:
        ImageError: the engine failed; its output was printed.
    """
    name = f"roadmap/{image}:{commit()}"
    about = {"base.name": base(), "base.digest": digest(base())}
    labels = [
        part for key, value in about.items() if value for part in ("--label", f"org.opencontainers.image.{key}={value}")
    ]
    arguments = {"BASE": base(), "COMMIT": commit()} | {key: os.environ[key] for key in PASSED if key in os.environ}
    options = [part for key, value in arguments.items() for part in ("--build-arg", f"{key}={value}")]
    tags = ["--tag", name, "--tag", f"roadmap/{image}:latest"]
    command = [engine(), "build", "--file", str(FOLDER / f"{image}.Dockerfile"), *options, *labels, *tags, "."]
    if subprocess.run(
        command, env={**os.environ, "BUILDAH_FORMAT": "docker"}
    ).returncode:  # the format that keeps HEALTHCHECK
        raise ImageError(f"{image}: build failed; see the lines above")
    return name


def size(name: str) -> int:
    """The size of an image in bytes.

    Raises:
        ImageError: no such image.
    """
    done = subprocess.run([engine(), "image", "inspect", name], capture_output=True, text=True)
    if done.returncode:
        hint = f"docker pull {name}" if name == base() else "python -m infra.images build"
        raise ImageError(f"{name}: no such image; run `{hint}`")
    return int(json.loads(done.stdout)[0]["Size"])


def digest(name: str) -> str:
    """The image's digest in its registry, sha256:...; empty for a local image. Pulls it if missing.

    Raises:
        ImageError: it can't be pulled.
    """
    command = [engine(), "image", "inspect", "--format", '{{join .RepoDigests " "}}', name]
    found = subprocess.run(command, capture_output=True, text=True)
    if found.returncode:
        fetched = subprocess.run([engine(), "pull", "-q", name], capture_output=True, text=True)
        if fetched.returncode:
            raise ImageError(f"{name}: pull failed: {fetched.stderr.strip()}; set BASE_IMAGE to another base")
        found = subprocess.run(command, capture_output=True, text=True)
    return found.stdout.strip().partition("@")[2].partition(" ")[0]


def record_base(folder: Path) -> str:
    """Writes the base image to base.json; BASE_IMAGE=<name>@<digest> reproduces a build."""
    found = {"name": base(), "digest": digest(base())}
    folder.mkdir(exist_ok=True)
    (folder / "base.json").write_text(json.dumps(found, indent=1) + "\n")
    return f"{found['name']} {found['digest'] or 'without digest: a local image'}"


def sbom(lock: Path, folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    target = folder / f"{str(lock.with_suffix('')).replace('/', '-')}.json"
    arguments = ["requirements", str(lock), "--output-reproducible", "--of", "JSON", "-o", str(target)]
    subprocess.run([sys.executable, "-m", "cyclonedx_py", *arguments], check=True)
    return target


def run(command: str, images: list[str]) -> int:
    """Runs a command; returns its exit code.

    Raises:
        ImageError: an unknown image, or the engine failed.
        AuditError: a package could not be audited.
    """
    if unknown := sorted(set(images) - set(IMAGES)):
        raise ImageError(f"found no image {unknown[0]!r}; expected {', '.join(IMAGES)}")
    if command == "build":
        print("\n".join([build(image) for image in images or IMAGES]))
    elif command == "sizes":
        for image in images or IMAGES:
            print(f"{image:<10} {(size(f'roadmap/{image}:latest') - size(base())) / 1e6:7.1f} MB on {base()}")
    elif command == "base":
        print(record_base(Path("sbom")))
    elif command == "sbom":
        print("\n".join([str(sbom(lock, Path("sbom"))) for lock in LOCKS]))
    else:
        stops = advisories.report(LOCKS, advisories.accepted(), date.today())
        print(f"{stops} known vulnerabilities that infra/advisories.toml does not accept")
        return min(1, stops)
    return 0


class Options(command_line.Options):
    images: list[str] = command_line.positional(f"of {', '.join(IMAGES)}; default: all", default=[])


VERBS = ("build", "sizes", "base", "sbom", "audit")


def main(argv: list[str]) -> int:
    commands: dict[str, Any] = {verb: (Options, lambda options, verb=verb: run(verb, options.images)) for verb in VERBS}
    return command_line.run(commands, __doc__, argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
