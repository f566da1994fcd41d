"""The images of infra/docker: python -m infra.images <command> [<image> ...]

build    builds them with Docker or Podman, as roadmap/<image>:<commit> and :latest; BASE_IMAGE names another base
sizes    what each adds to its base, in MB
base     the base's name and digest, into sbom/base.json
sbom     a CycloneDX list of what the locks pin, into sbom/<lock>.json
audit    known vulnerabilities of what the locks pin, by PyPI's own advisories; exit code 1 if there are any that
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
PASSED = ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_TRUSTED_HOST")  # from the environment: where CPU builds lie


class ImageError(UsageError):
    """Why there is no image, in one line."""


def engine() -> str:
    """
    Raises:
        ImageError: neither answers.
    """
    for name in ("docker", "podman"):
        if shutil.which(name) and subprocess.run([name, "info"], capture_output=True).returncode == 0:
            return name
    raise ImageError("neither Docker nor Podman answers; start one, or set DOCKER_HOST")


def commit() -> str:
    """The commit's short name, with a mark where the working tree differs from it."""
    command = ["git", "describe", "--always", "--dirty", "--exclude=*", "--abbrev=12"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def base() -> str:
    return os.environ.get("BASE_IMAGE") or BASE


def build(image: str) -> str:
    """Builds it and returns its name.

    Raises:
        ImageError: the engine failed; what it said has been printed.
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
    ).returncode:  # so that HEALTHCHECK is kept
        raise ImageError(f"{image}: not built; the lines above say why")
    return name


def size(name: str) -> int:
    """Bytes of an image.

    Raises:
        ImageError: there is none of this name.
    """
    done = subprocess.run([engine(), "image", "inspect", name], capture_output=True, text=True)
    if done.returncode:
        hint = f"docker pull {name}" if name == base() else "python -m infra.images build"
        raise ImageError(f"{name}: no such image; `{hint}` brings it")
    return int(json.loads(done.stdout)[0]["Size"])


def digest(name: str) -> str:
    """What the image's registry knows it by, sha256:...; empty for one made on this machine. Fetches what isn't here.

    Raises:
        ImageError: it can't be had.
    """
    command = [engine(), "image", "inspect", "--format", '{{join .RepoDigests " "}}', name]
    found = subprocess.run(command, capture_output=True, text=True)
    if found.returncode:
        fetched = subprocess.run([engine(), "pull", "-q", name], capture_output=True, text=True)
        if fetched.returncode:
            raise ImageError(f"{name}: can't be fetched: {fetched.stderr.strip()}; BASE_IMAGE names another base")
        found = subprocess.run(command, capture_output=True, text=True)
    return found.stdout.strip().partition("@")[2].partition(" ")[0]


def record_base(folder: Path) -> str:
    """What the images stand on, into base.json; BASE_IMAGE=<name>@<digest> builds on the same again."""
    found = {"name": base(), "digest": digest(base())}
    folder.mkdir(exist_ok=True)
    (folder / "base.json").write_text(json.dumps(found, indent=1) + "\n")
    return f"{found['name']} {found['digest'] or 'has no digest: it comes from no registry'}"


def sbom(lock: Path, folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    target = folder / f"{str(lock.with_suffix('')).replace('/', '-')}.json"
    arguments = ["requirements", str(lock), "--output-reproducible", "--of", "JSON", "-o", str(target)]
    subprocess.run([sys.executable, "-m", "cyclonedx_py", *arguments], check=True)
    return target


def run(command: str, images: list[str]) -> int:
    if unknown := sorted(set(images) - set(IMAGES)):
        raise ImageError(f"no image {unknown[0]!r}; there are {', '.join(IMAGES)}")
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
    images: list[str] = command_line.positional(f"of {', '.join(IMAGES)}; all of them", default=[])


VERBS = ("build", "sizes", "base", "sbom", "audit")


def main(argv: list[str]) -> int:
    commands: dict[str, Any] = {verb: (Options, lambda options, verb=verb: run(verb, options.images)) for verb in VERBS}
    return command_line.run(commands, __doc__, argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
