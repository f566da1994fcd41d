"""healthy.py api | scheduler | dag_processor | worker: health checks of Airflow's components.

Uses the standard library, and Celery for the worker: `airflow jobs check` would import Airflow, for three seconds.
"""

import json
import os
import socket
import sys
import urllib.request

API = "http://airflow-api:8080/airflow/api/v2/monitor/health"


def get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=8) as answer:
        return bytes(answer.read())


def worker() -> bool:
    from celery import Celery

    name = f"celery@{socket.gethostname()}"
    inspect = Celery(broker=os.environ["AIRFLOW__CELERY__BROKER_URL"]).control.inspect([name], timeout=8)
    return bool(inspect.ping())


def main(part: str) -> bool:
    if part == "worker":
        return worker()
    if part == "scheduler":  # its own server: the database may report it for half a minute after its end
        get("http://127.0.0.1:8974/health")  # any status other than 200 raises
        return True
    health = json.loads(get(API))
    return bool(health["metadatabase" if part == "api" else part]["status"] == "healthy")


if __name__ == "__main__":
    sys.exit(0 if main(sys.argv[1]) else 1)
