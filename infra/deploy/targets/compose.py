"""target=compose: the containers of infra/compose, where `serving` follows the alias of the stage in MLflow's registry.

The new version runs in its own container, `canary`, while the proxy routes a growing share of the project's requests
to it. Then the alias moves, `serving` picks the version up within seconds, and the canary stops. The proxy keeps the
shares in memory: after a restart it sends everything to `serving`, with the previous version. Requests that name the
model only in their body (OpenAI's) are not split: they change with the alias.

`serving` must follow the stage: SERVING_ALIAS=staging or production in infra/compose/.env. If it follows `champion`
it updates by itself; target=server then waits for it.
"""

import os
import time
from collections.abc import Callable, Mapping
from urllib.parse import quote

from infra.compose.stack import ComposeError, Stack
from infra.deploy.registry.aliases import Aliases, AliasNotFound
from infra.deploy.rollout import shift_traffic
from infra.deploy.target import DeployError, Options, Plan, Say, checked
from roadmap.bundle import Bundle
from roadmap.io import http
from roadmap.io.errors import TEMPORARY, USAGE
from roadmap.io.http import HttpError, basic
from roadmap.io.json import JsonObject

PATIENCE = 90.0  # seconds for the canary to start, and for `serving` to notice the alias
MAX_ERROR_RATE = 0.02  # tolerated fraction of 5xx responses of the canary
ALL = "map $uri $serving { default serving:8000; }"
CONFIG = "/tmp/nginx.conf"


class Compose:
    def __init__(self, options: Options, stack: Stack) -> None:
        self.options, self.project, self.alias, self.stack = options, options.project, options.stage, stack
        self.aliases = Aliases(self.mlflow, options.project)

    def serving(self) -> str | None:
        cards = {card["name"]: card for card in self.ask("/models")["models"]}
        found: str | None = cards.get(self.project, {}).get("version")
        return found

    def plan(self, bundle: Bundle) -> Plan:
        shares = ", ".join(f"{share:.0%}" for share in (*self.options.steps, 1.0))
        return Plan(
            [
                f"start the container canary with {self.project} {bundle.manifest.version}",
                f"give it {shares} of the requests for {self.project}, {self.options.bake:g} s each",
                f"move the alias {self.alias!r} from {self.serving()} to {bundle.manifest.version}; stop the canary",
            ],
            {},
        )

    def roll_out(self, bundle: Bundle, say: Say) -> None:
        number, before = self.aliases.number(bundle.manifest.version), self.aliases.at(self.alias)
        if before == number and self.serving() == bundle.manifest.version:
            self.end_canary()  # of a killed run
            checked(self.predict(bundle, canary=False), bundle)
            say("it answers already")
            return
        try:
            self.start_canary(number)
            until(lambda: self.answers(bundle), "the canary does not respond", lambda: self.stack.logs("canary", 5))
            say(f"the canary answers with version {bundle.manifest.version}")
            shift_traffic(
                self.options.steps,
                self.options.bake,
                to=self.route,
                smoke=lambda: checked(self.predict(bundle, canary=True), bundle),
                alarms=self.alarms,
                say=say,
            )
            self.aliases.point(self.alias, number)
            self.follow(bundle.manifest.version)
        except BaseException:
            self.aliases.point(self.alias, before)
            raise
        finally:
            self.end_canary()
        say(f"{self.alias} is registered version {number}")

    def roll_back(self, version: str, say: Say) -> None:
        self.end_canary()
        self.aliases.point(self.alias, self.aliases.number(version))
        self.follow(version)
        say(f"serving has taken {version}")

    def destroy(self, say: Say) -> None:
        self.end_canary()
        self.aliases.point(self.alias, None)
        self.compose("restart", "serving")  # a loaded model would still be served
        say(f"{self.project} is not served as {self.alias}; its registered versions stay")

    # ---------------------------------------------------------------- the canary and the proxy

    def follow(self, version: str) -> None:
        until(lambda: self.serving() == version, f"serving has not taken {version}", lambda: str(self.serving()))

    def start_canary(self, number: str) -> None:
        self.end_canary()
        wanted = f"models:/{self.project}/{number}"
        self.compose("--profile", "canary", "up", "-d", "--no-deps", "canary", CANARY=wanted)
        self.route(0.0)

    def end_canary(self) -> None:
        self.write(ALL)
        self.compose("--profile", "canary", "rm", "-sf", "canary")

    def route(self, share: float) -> None:
        """Routes a share of the project's requests to the canary; X-Canary: 1 always selects it."""
        shares = {0.0: "* serving:8000;", 1.0: "* canary:8000;"}.get(
            share, f"{share * 100:.2f}% canary:8000; * serving:8000;"
        )
        self.write(
            f'split_clients "$request_id" $drawn {{ {shares} }}\n'
            'map $http_x_canary $asked { default $drawn; "1" canary:8000; }\n'
            f'map $uri $serving {{ default serving:8000; "~^/(v2/)?models/{self.project}(/|$)" $asked; }}'
        )

    def write(self, split: str) -> None:
        """Reloads the proxy for new requests; those in flight finish as they began."""
        nginx = f"nginx -c {CONFIG}"
        script = f'printf "%s\\n" "$1" >/tmp/split.conf && {nginx} -t -q && {nginx} -s reload'
        self.compose("exec", "-T", "proxy", "sh", "-c", script, "split", split)
        time.sleep(1)  # until the new workers have taken over

    def answers(self, bundle: Bundle) -> bool:
        try:
            checked(self.predict(bundle, canary=True), bundle)
        except DeployError as error:
            if error.code == TEMPORARY:
                return False
            raise
        return True

    def alarms(self) -> list[str]:
        asked = f'serving_requests_total{{service="canary",project="{self.project}"'
        share = f'sum(rate({asked},status=~"5.."}}[1m])) / sum(rate({asked}}}[1m])) > {MAX_ERROR_RATE}'
        found = self.ask(f"/prometheus/api/v1/query?query={quote(share)}")["data"]["result"]
        return [f"{float(one['value'][1]):.0%} of the canary's responses are errors" for one in found]

    def compose(self, *arguments: str, **env: str) -> str:
        """The output of a command of Compose.

        Raises:
            DeployError: it failed; TEMPORARY.
        """
        try:
            return self.stack.run(*arguments, env=env)
        except ComposeError as error:
            raise DeployError(str(error), TEMPORARY) from None

    # ---------------------------------------------------------------- HTTP, through the proxy

    def predict(self, bundle: Bundle, canary: bool) -> JsonObject:
        headers = {"X-Canary": "1"} if canary else {}
        return self.ask(f"/models/{self.project}/predict", {"inputs": bundle.example}, headers=headers)

    def mlflow(self, what: str, body: object = None, method: str | None = None) -> JsonObject:
        return dict(self.ask(f"/mlflow/api/2.0/mlflow/{what}", body, method))

    def ask(
        self, path: str, body: object = None, method: str | None = None, headers: Mapping[str, str] | None = None
    ) -> JsonObject:
        """The parsed JSON of the response; to a POST if there is a body.

        Raises:
            AliasNotFound: MLflow has no such model or alias.
            DeployError: any other failure; TEMPORARY if a retry may succeed.
        """
        sent = dict(headers or {})
        if path.startswith(("/mlflow", "/prometheus")):
            sent |= basic("admin", self.stack.env["WEB_PASSWORD"])
        try:
            return http.ask(self.stack.url + path, body, method=method, headers=sent).json()
        except HttpError as error:
            if error.status is None:
                raise DeployError(f"{error}; `make up` starts it", TEMPORARY) from None
            if "RESOURCE_DOES_NOT_EXIST" in error.detail or f"alias {self.alias} not found" in error.detail:
                raise AliasNotFound(f"{self.project}: {error.detail}") from None
            passes = error.passing or error.status == 404  # not loaded by the canary yet
            raise DeployError(str(error), TEMPORARY if passes else USAGE) from None


def until(ready: Callable[[], bool], what: str, state: Callable[[], str]) -> None:
    """
    Raises:
        DeployError: it did not happen within PATIENCE seconds.
    """
    end = time.monotonic() + PATIENCE
    while not ready():
        if time.monotonic() > end:
            raise DeployError(f"{what} within {PATIENCE:.0f} s: {state()}", TEMPORARY)
        time.sleep(1)


def open(options: Options) -> Compose:
    """
    Raises:
        DeployError: the containers' environment file is missing, or its servers follow another alias.
    """
    stack = Stack()
    try:
        follows = stack.env.get("SERVING_ALIAS", "champion")
    except ComposeError as error:
        raise DeployError(str(error), error.code) from None
    if follows != options.stage:
        raise DeployError(
            f"{stack.file}: SERVING_ALIAS is {follows!r}, so serving does not follow stage={options.stage}; set "
            f"it to {options.stage} and run `make up`, or use target=server"
        )
    password = quote(stack.env["WEB_PASSWORD"], safe="")
    os.environ["MLFLOW_TRACKING_URI"] = (
        stack.url.replace("://", f"://admin:{password}@") + "/mlflow"
    )  # registry of the champion
    return Compose(options, stack)
