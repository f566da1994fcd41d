"""The bundle to deploy: the champion of MLflow's registry, promoted by the gate."""

from pathlib import Path

from infra.deploy.target import DeployError
from roadmap.bundle import Bundle, BundleError
from roadmap.io.errors import TEMPORARY
from serving.sources import SourceError
from serving.sources.mlflow import Unreachable
from serving.sources.registry import Registry

ALIAS = "champion"


def champion(project: str, cache: Path, version: str | None = None) -> Bundle:
    """
    Args:
        version: of the expected bundle; any other champion is an error.

    Raises:
        DeployError: there is none, the gate did not promote it, its files are damaged, or it is another version.
    """
    try:
        registry = Registry([(project, ALIAS, "")], cache)
        found = registry.mlflow.version(project, ALIAS, "")
        if "promoted" not in registry.mlflow.tags(found):
            raise DeployError(
                f"{found}: has the alias {ALIAS!r}, but was not promoted by the gate; "
                f"run `dvc repro register@{project}`"
            )
        bundle = Bundle(registry.fetch(found))
    except Unreachable as error:
        raise DeployError(str(error), TEMPORARY) from None
    except SourceError as error:
        raise DeployError(f"{project}: found no champion ({error}); run `dvc repro register@{project}`") from None
    except BundleError as error:
        raise DeployError(f"{project}: {error}; register it again with `dvc repro -f register@{project}`") from None
    if version and version != bundle.manifest.version:
        raise DeployError(f"{project}: champion: found version {bundle.manifest.version}; expected {version}")
    return bundle
