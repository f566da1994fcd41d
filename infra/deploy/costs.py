"""What a stack costs in a month, roughly: AWS's list prices of eu-central-1 and a load that is said.

In US dollars, before taxes and free tiers. The prices were written down without AWS's page at hand: they give the order
of magnitude before somebody says yes, and are to be checked there before more hangs on them.
"""

HOURS = 730.0
REQUESTS = 1_000_000  # a month
SECONDS = 0.02  # of computing each

GB_SECOND, PER_REQUEST, HTTP_API = 0.0000166667, 0.20e-6, 1.20e-6
WARM_GB_SECOND = 0.0000048611  # provisioned concurrency, whether asked or not
INSTANCES = {"ml.c7i.large": 0.129, "ml.m7i.large": 0.145, "ml.m7i.xlarge": 0.290, "ml.c5.large": 0.123}  # an hour
SERVERLESS_GB_SECOND = 0.0000233

LAMBDA_LEFT_OUT = "traffic out, logs, and the image's storage"
SAGEMAKER_LEFT_OUT = "traffic, logs, captured data, and the second fleet while an update runs"


def serverless(parameters: dict[str, str]) -> dict[str, float]:
    """serving-lambda, asked a million times a month."""
    gigabytes = float(parameters.get("MemoryMb", 1769)) / 1024
    warm = float(parameters.get("ProvisionedConcurrency", 0)) * gigabytes * HOURS * 3600 * WARM_GB_SECOND
    found = {
        f"{REQUESTS:,} requests of {SECONDS * 1000:g} ms": REQUESTS * (PER_REQUEST + SECONDS * gigabytes * GB_SECOND),
        "HTTP API": REQUESTS * HTTP_API,
    }
    return {**found, "environments kept warm": warm} if warm else found


def endpoint(parameters: dict[str, str]) -> dict[str, float]:
    """serving-sagemaker; an instance type without a price here is not guessed."""
    if parameters.get("Variant") == "serverless":
        gigabytes = float(parameters.get("ServerlessMemoryMb", 2048)) / 1024
        return {f"{REQUESTS:,} requests": REQUESTS * SECONDS * gigabytes * SERVERLESS_GB_SECOND}
    kind, count = parameters.get("InstanceType", "ml.c7i.large"), float(parameters.get("MinInstances", 1))
    if kind not in INSTANCES:
        return {}
    return {f"{count:g} x {kind}": count * INSTANCES[kind] * HOURS}
