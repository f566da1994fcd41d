"""target=server: the server at SERVING_URL (http://127.0.0.1:8000). SERVING_KEY is sent as its API key.

By default it follows the registry's champion: infra/deploy/targets/following.py. With SERVING_ALIAS=staging, or
production, it follows that alias: infra/deploy/targets/staged.py.
"""

import os

from infra.deploy.registry.aliases import Aliases, over_http
from infra.deploy.target import DeployError, Options
from infra.deploy.targets.following import ServerTarget
from infra.deploy.targets.staged import StagedTarget


def open(options: Options) -> ServerTarget:
    """
    Raises:
        DeployError: the server follows another stage's alias, or MLFLOW_TRACKING_URI is no server.
    """
    follows = os.environ.get("SERVING_ALIAS", "champion")
    if follows == "champion":
        return ServerTarget(options)
    if follows != options.stage:
        raise DeployError(f"SERVING_ALIAS: the server follows {follows!r}, so it is not stage={options.stage}")
    uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    if not uri.startswith(("http://", "https://")):
        raise DeployError(f"SERVING_ALIAS={follows} needs an MLflow server; set MLFLOW_TRACKING_URI=http://...")
    return StagedTarget(options, Aliases(over_http(uri), options.project))
