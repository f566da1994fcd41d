"""The alias `live` of a Lambda function: which version answers, which share a second one has, and how many environments
are kept warm (provisioned concurrency).

What Lambda does with an alias that has both: weights may be changed while environments are warm, and these are then
spread over both versions. A change of the version itself moves no request before the new one is warm; until then Lambda
puts the old one into the alias's weights, and they stay there for good where the new one can't be started. Provisioned
concurrency can't be set while there are weights.
https://docs.aws.amazon.com/lambda/latest/api/API_PutProvisionedConcurrencyConfig.html
https://github.com/hashicorp/terraform-provider-aws/pull/48116
"""

import time
from typing import Any

from infra.deploy.target import DeployError
from roadmap.io.errors import TEMPORARY

LIVE = "live"
PATIENCE = 900.0  # seconds until environments are warm
LOOK = 1.0


class Alias:
    def __init__(self, api: Any, function: str) -> None:
        self.api, self.function = api, function
        self.named = {"FunctionName": function, "Name": LIVE}
        self.qualified = {"FunctionName": function, "Qualifier": LIVE}

    def now(self) -> tuple[str, dict[str, float]]:
        """The version, and the shares of others."""
        found = self.api.get_alias(**self.named)
        return str(found["FunctionVersion"]), found.get("RoutingConfig", {}).get("AdditionalVersionWeights", {})

    def route(self, version: str, **shares: float) -> None:
        self.api.update_alias(**self.named, FunctionVersion=version, RoutingConfig={"AdditionalVersionWeights": shares})

    def move(self, version: str, warm: int, *, at_once: bool = False) -> None:
        """All requests to `version`, with `warm` environments ready for them.

        Args:
            at_once: before they are ready: for the way back, where the version of now is not to be asked any more.

        Raises:
            DeployError: the version can't be started.
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
                why = now.get("StatusReason", "Lambda gives no reason")
                raise DeployError(f"{self.function}: provisioned concurrency: {why}", 1)
            if not weights and now.get("RequestedProvisionedConcurrentExecutions") != wanted:
                self.api.put_provisioned_concurrency_config(**self.qualified, ProvisionedConcurrentExecutions=wanted)
            elif not weights and now["Status"] == "READY":
                return
            if time.monotonic() > until:
                raise DeployError(
                    f"{self.function}: not warm after {PATIENCE:g} s; the same command goes on", TEMPORARY
                )
            time.sleep(LOOK)
