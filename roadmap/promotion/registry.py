"""The MLflow registry: one registered model per project, the alias `champion`, and rollback.

Every version has the tags `bundle` (the version of its content), `profile` and `run`. A promoted one also has
`promoted`, the time, without which it is not deployed, and `replaced`, the champion before it, so that a rollback needs
only the registry. A version with the tag `rolled_back` is not promoted again.
"""

import warnings
from datetime import UTC, datetime
from importlib.metadata import version as installed
from pathlib import Path
from typing import TYPE_CHECKING, Any

from roadmap.bundle import MANIFEST, Bundle, load_predictor
from roadmap.io.errors import UsageError

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

ALIAS = "champion"
SERVING_REQUIREMENTS = ("mlflow", "numpy", "onnxruntime", "pandas", "pydantic", "tokenizers")


def champion(client: "MlflowClient", name: str) -> "ModelVersion | None":
    """The model version with the alias, or None."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_model_version_by_alias(name, ALIAS)
    except MlflowException:
        return None


def bundle_of(name: str, version: str) -> Bundle:
    """Downloads a registered version and opens its bundle.

    Raises:
        BundleError: the stored bundle is damaged.
    """
    import mlflow

    folder = Path(mlflow.artifacts.download_artifacts(f"models:/{name}/{version}")) / "artifacts"
    # MLflow keeps the name of the logged folder: bundle, or champion after a restore.
    return Bundle(next((manifest.parent for manifest in folder.glob(f"*/{MANIFEST}")), folder))


def registered(client: "MlflowClient", name: str, bundle: Bundle) -> "ModelVersion | None":
    """The version with this bundle, or None."""
    found = client.search_model_versions(f"name='{name}' and tags.bundle='{bundle.manifest.version}'")
    return next((v for v in found if v.tags.get("run") == bundle.manifest.run), None)


def log_version(client: "MlflowClient", run_id: str, bundle: Bundle) -> "ModelVersion":
    """Logs a bundle as a pyfunc model with a typed signature and an input example, and registers it."""
    import mlflow
    from mlflow.utils import requirements_utils

    # MLflow compares the requirements with the installed packages, which takes a second to read all metadata. These
    # are the installed versions, so the map from modules to packages may stay empty.
    vars(requirements_utils)["_MODULES_TO_PACKAGES"] = {}
    manifest = bundle.manifest
    example, signature = _signature(bundle)
    with mlflow.start_run(run_id=run_id):
        info = mlflow.pyfunc.log_model(
            name="model",
            python_model="roadmap/promotion/pyfunc.py",
            artifacts={"bundle": str(bundle.folder)},
            code_paths=["pipelines", "roadmap"],
            signature=signature,
            input_example=example,
            pip_requirements=[f"{package}=={installed(package)}" for package in SERVING_REQUIREMENTS],
        )
    tags = {"bundle": manifest.version, "profile": manifest.profile, "run": manifest.run}
    try:
        client.create_registered_model(manifest.project)
    except mlflow.exceptions.MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    return client.create_model_version(manifest.project, info.model_uri, run_id, tags=tags, model_id=info.model_id)


def _signature(bundle: Bundle) -> tuple[Any, Any]:
    """The example as a DataFrame, and the types of input and output columns; fields with a default are optional."""
    import pandas as pd
    from mlflow.models import infer_signature
    from mlflow.types.schema import AnyType, ColSpec, Schema

    predictor = load_predictor(bundle)
    requests = [predictor.Request.model_validate(row) for row in bundle.example]
    frame = pd.DataFrame([request.model_dump(by_alias=True) for request in requests])
    outputs = pd.DataFrame([output.model_dump() for output in predictor.predict(requests)])
    optional = {
        field.alias or name for name, field in predictor.Request.model_fields.items() if not field.is_required()
    }
    kinds = {name: _types(spec) for name, spec in predictor.Request.model_json_schema()["properties"].items()}
    numeric = {name for name, types in kinds.items() if "number" in types}
    either = {name for name, types in kinds.items() if types >= {"string", "boolean"}}
    filled = frame.assign(
        **{name: frame[name].astype(float) if name in numeric else frame[name].fillna("") for name in optional}
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a hint about nullable integers, which are floats here
        inferred = infer_signature(filled, outputs)
    # MLflow would refuse whole numbers, int64, where the type is double: what a request takes, it says itself.
    columns: list[Any] = [
        ColSpec(
            AnyType() if col.name in optional & (numeric | either) else col.type,
            col.name,
            required=col.name not in optional,
        )
        for col in inferred.inputs.inputs
    ]
    inferred.inputs = Schema(columns)
    return filled, inferred


def _types(schema: dict[str, Any]) -> set[str]:
    """The JSON types of a field."""
    return {str(one.get("type")) for one in schema.get("anyOf", [schema])}


def promote(client: "MlflowClient", name: str, version: "ModelVersion") -> None:
    """Moves the alias, and tags the version as promoted by the gate, with the version that it replaced."""
    before = champion(client, name)
    if before is not None and before.version != version.version:
        client.set_model_version_tag(name, version.version, "replaced", before.version)
    client.set_model_version_tag(name, version.version, "promoted", datetime.now(UTC).isoformat(timespec="seconds"))
    client.set_registered_model_alias(name, ALIAS, version.version)


def rolled_back(client: "MlflowClient", name: str, bundle: Bundle) -> str | None:
    """When a version with this content, from any run, was rolled back."""
    found = client.search_model_versions(f"name='{name}' and tags.bundle='{bundle.manifest.version}'")
    return max((v.tags["rolled_back"] for v in found if "rolled_back" in v.tags), default=None)


def rollback(client: "MlflowClient", name: str, bundle: str | None = None) -> tuple[str, str]:
    """Moves the alias back to the previous version, or to the one with this bundle; returns (from, to).

    Raises:
        UsageError: there is no champion, no earlier one, or no promoted version with that bundle.
    """
    now = champion(client, name)
    if now is None:
        raise UsageError(f"{name}: rollback: found no champion; run `dvc repro register@{name}` first")
    before = now.tags.get("replaced")
    if bundle is not None:
        versions = client.search_model_versions(f"name='{name}' and tags.bundle='{bundle}'")
        before = max((str(v.version) for v in versions if "promoted" in v.tags), key=int, default=None)
        if before is None:
            raise UsageError(f"{name}: rollback: found no promoted version with bundle {bundle}; try rollback=true")
    if not before:
        raise UsageError(f"{name}: rollback: champion version {now.version} is the first; there is no earlier version")
    if before != str(now.version):  # an int from SQLite, a string from a server
        client.set_model_version_tag(name, now.version, "rolled_back", datetime.now(UTC).isoformat(timespec="seconds"))
        if "rolled_back" in client.get_model_version(name, before).tags:  # it is champion again
            client.delete_model_version_tag(name, before, "rolled_back")
        client.set_registered_model_alias(name, ALIAS, before)
    return str(now.version), before
