"""All stacks created and deleted on moto's server; wildcards in policies.

    python -m benchmarks.deploy.bench_cloudformation

Stacks are polled every 10 ms. Times are moto's: they show that everything is created, in which order, and changes
between versions of the templates; on AWS some resources take minutes.
"""

import logging
import time

import boto3

from benchmarks import machine
from infra.stacks import Stacks
from infra.templates import templates
from tests.standins.aws import cloudformation
from tests.support.infra import policies


def main() -> None:
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    found = templates()
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        with cloudformation.completed():
            times = measured("http://{}:{}".format(*server.get_host_and_port()))
    finally:
        server.stop()
    print(f"{machine.line()}\n")
    print("| template | resources | created, s | statements | with a wildcard | with a written reason |")
    print("| --- | --- | --- | --- | --- | --- |")
    total = [0.0] * 5
    for name, template in found.items():
        wide = policies.wide(template)
        reasoned = sum(resource in policies.reasons(template) for resource, _ in wide)
        statements = len(list(policies.statements(template)))
        row = [len(template.body["Resources"]), times[name], statements, len(wide), reasoned]
        total = [a + b for a, b in zip(total, row, strict=True)]
        print(line(name, row))
    print(line("all", total))


def line(name: str, row: list[float]) -> str:
    resources, seconds, *counts = row
    return f"| {name} | {resources:.0f} | {seconds:.2f} | {' | '.join(f'{one:.0f}' for one in counts)} |"


def measured(address: str) -> dict[str, float]:
    """Template -> seconds of its stack's creation."""
    keys = {"aws_access_key_id": "dummy", "aws_secret_access_key": "dummy", "region_name": "us-east-1"}
    stacks = Stacks(boto3.client("cloudformation", endpoint_url=address, **keys), poll=0.01)
    times = {}
    for name, template in templates().items():
        begun = time.perf_counter()
        project = cloudformation.project(template)
        stacks.up(template, "staging", project, **cloudformation.of(template, cloudformation.NEEDED))
        times[name] = time.perf_counter() - begun
    for template in reversed(templates().values()):
        stacks.down(template, "staging", cloudformation.project(template))
    return times


if __name__ == "__main__":
    main()
