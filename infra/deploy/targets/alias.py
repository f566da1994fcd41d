"""The alias `live` of a Lambda function: its version, the traffic share of a second one, and the number of warm
environments (provisioned concurrency).

Lambda's rules for an alias with both: weights can change while environments are warm, which are then spread over both
versions. A change of the version moves no request before the new one is warm; until then Lambda puts the old one into
the alias's weights, where it stays if the new one can't start. Provisioned concurrency can't be set while there are
weights.
https://docs.aws.amazon.com/lambda/latest/api/API_PutProvisionedConcurrencyConfig.html
https://github.com/hashicorp/terraform-provider-aws/pull/48116
"""

import time
from typing import Any

from infra.deploy.target import DeployError
from roadmap.io.errors import TEMPORARY

LIVE = "live"
PATIENCE = 900.0  # seconds until environments are warm
POLL_SECONDS = 1.0


class Alias:
    def __init__(self, api: Any, function: str) -> None:
        self.api, self.function = api, function
        self.named = {"FunctionName": function, "Name": LIVE}
        self.qualified = {"FunctionName": function, "Qualifier": LIVE}

    def now(self) -> tuple[str, dict[str, float]]:
        """The version, and the weights of others."""
        found = self.api.get_alias(**self.named)
        return str(found["FunctionVersion"]), found.get("RoutingConfig", {}).get("AdditionalVersionWeights", {})

    def route(self, version: str, **shares: float) -> None:
        self.api.update_alias(**self.named, FunctionVersion=version, RoutingConfig={"AdditionalVersionWeights": shares})

    def move(self, version: str, warm: int, *, at_once: bool = False) -> None:
        """Routes all requests to `version`, with `warm` environments.

        Args:
            at_once: without waiting for the environments, for a rollback.

        Raises:
            DeployError: the version can't start.
        """
        if self.now() != (version, {}):
            if warm and at_once:
                self.api.delete_provisioned_concurrency_config(**self.qualified)
            self.route(version)
        if warm:
            self._warm(warm)

    def _requested(self) -> dict[str, Any]:
        try:
            found: dict[str, Any] = self.api.get_provisioned_concurrency_config(**self.qualified)
        except self.api.exceptions.ProvisionedConcurrencyConfigNotFoundException:
            return {}
        return found

    def _warm(self, wanted: int) -> None:
        until = time.monotonic() + PATIENCE
        while True:
            now, (_, weights) = self._requested(), self.now()
            if now.get("Status") == "FAILED":
                why = now.get("StatusReason", "no reason given by Lambda")
                raise DeployError(f"{self.function}: provisioned concurrency: {why}", 1)
            if not weights and now.get("RequestedProvisionedConcurrentExecutions") != wanted:
                self.api.put_provisioned_concurrency_config(**self.qualified, ProvisionedConcurrentExecutions=wanted)
            elif not weights and now["Status"] == "READY":
                return
            if time.monotonic() > until:
                raise DeployError(
                    f"{self.function}: not warm after {PATIENCE:g} s; run the same command to resume", TEMPORARY
                )
            time.sleep(POLL_SECONDS)
