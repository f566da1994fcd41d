"""A rough monthly cost of a stack, from AWS's list prices and a stated load.

In US dollars, before taxes and free tiers. Prices of Lambda's duration and requests, of Fargate and the load balancer
are those of us-east-1 (other regions: up to a third more), from the pages cited below, not from AWS's price list. The
others are from memory, for eu-central-1. All give the order of magnitude only; check them before relying on them.
"""

HOURS = 730.0
REQUESTS = 1_000_000  # per month
SECONDS = 0.02  # of compute per request

# https://aws.amazon.com/lambda/pricing/, an undated copy read in 2026-11
GB_SECOND, PER_REQUEST = 0.0000166667, 0.20e-6
# https://www.vantage.sh/blog/fargate-pricing, undated; https://www.wring.co/blog/aws-fargate-pricing-guide of 2026-03
FARGATE_CPU, FARGATE_GB = 0.04048, 0.004445  # per hour
# https://cal53.calculator.city/aws-alb-cost-calculator/, undated
LOAD_BALANCER = 0.0225  # per hour

# From memory.
HTTP_API = 1.20e-6
WARM_GB_SECOND = 0.0000048611  # provisioned concurrency, used or idle
INSTANCES = {"ml.c7i.large": 0.129, "ml.m7i.large": 0.145, "ml.m7i.xlarge": 0.290, "ml.c5.large": 0.123}  # per hour
SERVERLESS_GB_SECOND = 0.0000233

LAMBDA_LEFT_OUT = "traffic out, logs, and the image's storage"
ECS_LEFT_OUT = "traffic and the load balancer's units for it, logs, and the second set of tasks while an update runs"
SAGEMAKER_LEFT_OUT = "traffic, logs, captured data, and the second fleet while an update runs"


def serverless(parameters: dict[str, str]) -> dict[str, float]:
    """serving-lambda, at a million requests per month."""
    gigabytes = float(parameters.get("MemoryMb", 1769)) / 1024
    warm = float(parameters.get("ProvisionedConcurrency", 0)) * gigabytes * HOURS * 3600 * WARM_GB_SECOND
    found = {
        f"{REQUESTS:,} requests of {SECONDS * 1000:g} ms": REQUESTS * (PER_REQUEST + SECONDS * gigabytes * GB_SECOND),
        "HTTP API": REQUESTS * HTTP_API,
    }
    return {**found, "environments kept warm": warm} if warm else found


def tasks(parameters: dict[str, str]) -> dict[str, float]:
    """serving-ecs at rest, with all its projects."""
    count, cpus = float(parameters.get("MinTasks", 2)), float(parameters.get("Cpu", 1024)) / 1024
    gigabytes = float(parameters.get("Memory", 2048)) / 1024
    hourly = cpus * FARGATE_CPU + gigabytes * FARGATE_GB
    return {
        f"{count:g} tasks of {cpus:g} CPU and {gigabytes:g} GB, for all projects": count * hourly * HOURS,
        "load balancer": LOAD_BALANCER * HOURS,
    }


def endpoint(parameters: dict[str, str]) -> dict[str, float]:
    """serving-sagemaker; empty for instance types without a price here."""
    if parameters.get("Variant") == "serverless":
        gigabytes = float(parameters.get("ServerlessMemoryMb", 2048)) / 1024
        return {f"{REQUESTS:,} requests": REQUESTS * SECONDS * gigabytes * SERVERLESS_GB_SECOND}
    kind, count = parameters.get("InstanceType", "ml.c7i.large"), float(parameters.get("MinInstances", 1))
    if kind not in INSTANCES:
        return {}
    return {f"{count:g} x {kind}": count * INSTANCES[kind] * HOURS}
