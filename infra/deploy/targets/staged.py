"""target=server, where the server follows the alias of the stage and takes challengers from another:

    SERVING_BUNDLES=models:/@staging SERVING_CHALLENGERS=models:/@canary python -m serving
    SERVING_ALIAS=staging python -m infra.deploy target=server project=titanic stage=staging

The new version gets the alias `canary` and a growing share of the callers, which the server reads from the registry;
the stage's alias moves at the end. Callers stay on the version that they were routed to.
"""

import itertools

from infra.deploy.arms import TrafficCounters, arms
from infra.deploy.registry.aliases import CANARY, Aliases
from infra.deploy.rollout import shift_traffic
from infra.deploy.target import Options, Plan, Say, checked
from infra.deploy.targets.following import ServerTarget
from roadmap.bundle import Bundle
from serving.split import bucket

ALONE = 1e-4  # a share that includes only our own probe


class StagedTarget(ServerTarget):
    """Follows the stage's alias, with a canary beside it."""

    def __init__(self, options: Options, aliases: Aliases) -> None:
        super().__init__(options)
        self.alias, self.aliases = options.stage, aliases
        self.reached = 0.0  # the share of callers routed to the new version
        self.start: dict[str, TrafficCounters] = {}  # counters at the start

    def before(self) -> str | None:
        return None  # from the records

    def plan(self, bundle: Bundle) -> Plan:
        now, version = self.serving(), bundle.manifest.version
        if now == version:
            return Plan(["nothing: this version answers already"], {})
        shares = ", ".join(f"{share:.0%}" for share in self.options.steps)
        steps = [f"alias {CANARY!r} to {version}; it gets {shares} of the callers, {self.options.bake:g} s each"]
        return Plan([*(steps if now else []), f"alias {self.alias!r}: {now or 'none'} -> {version}"], {})

    def roll_out(self, bundle: Bundle, say: Say) -> None:
        number, before = self.aliases.number(bundle.manifest.version), self.aliases.at(self.alias)
        if before is None or before == number:
            self.settle(number, bundle.manifest.version)
            checked(self.ask(f"/models/{self.project}/predict", {"inputs": bundle.example}), bundle)
            say(f"{self.url} answers with registered version {number}")
            return
        old = self.serving()
        try:
            self.route(bundle, number, ALONE)
            self.smoke(bundle)
            say("the canary passed its smoke test; it has no traffic yet")
            shift_traffic(
                self.options.steps,
                self.options.bake,
                to=lambda share: self.give(bundle, number, before, share),
                smoke=lambda: self.smoke(bundle),
                alarms=lambda: self.alarms(old, bundle.manifest.version),
                say=say,
            )
        except BaseException:
            self.aliases.point(self.alias, before)
            raise
        finally:
            self.aliases.point(CANARY, None)
        say(f"{self.alias} is registered version {number}")

    def settle(self, number: str, version: str) -> None:
        self.aliases.point(CANARY, None)  # of a killed run
        self.aliases.point(self.alias, number)
        self.follow(version)

    def give(self, bundle: Bundle, number: str, before: str, share: float) -> None:
        if share == 1.0:
            self.aliases.point(self.alias, number)
            self.follow(bundle.manifest.version)
            self.reached = share
        elif share == 0.0:
            self.aliases.point(self.alias, before)
            self.aliases.point(CANARY, None)
        else:
            self.route(bundle, number, share)

    def route(self, bundle: Bundle, number: str, share: float) -> None:
        """Sets the share of the new version, and waits until the server has read it."""
        self.aliases.share(number, share)
        self.aliases.point(CANARY, number)
        wanted = (bundle.manifest.version, share)
        self.until(
            lambda: self.challenger() == wanted, lambda: f"the server's challenger is {self.challenger()}, not {wanted}"
        )
        self.reached, self.start = share, arms(self.read("/metrics").decode(), self.project)

    def challenger(self) -> tuple[str | None, float | None]:
        rows = {row["project"]: row for row in self.ask("/status?format=json")["projects"]}
        row = rows.get(self.project, {})
        return (row.get("challenger") or {}).get("version"), row.get("share")

    def smoke(self, bundle: Bundle) -> None:
        """Sends the example as a caller who is routed to the new version."""
        names, version = map("deploy-{}".format, itertools.count()), bundle.manifest.version
        caller = next(name for name in names if bucket(self.project, version, f"caller {name}") < self.reached)
        headers = {"X-Caller-Id": caller}
        checked(self.ask(f"/models/{self.project}/predict", {"inputs": bundle.example}, **headers), bundle)

    def alarms(self, old: str | None, new: str) -> list[str]:
        found = arms(self.read("/metrics").decode(), self.project)
        nothing = TrafficCounters()
        return (
            found.get(new, nothing)
            .since(self.start.get(new, nothing))
            .alarms(found.get(old or "", nothing).since(self.start.get(old or "", nothing)))
        )

    def roll_back(self, version: str, say: Say) -> None:
        self.settle(self.aliases.number(version), version)
        say(f"{self.url} has taken {version}")
