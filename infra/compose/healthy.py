"""healthy.py api | scheduler | dag_processor | worker: whether a part of Airflow lives, for the health checks.

Standard library, and Celery for the worker: `airflow jobs check` would import Airflow, three seconds each time.
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
    if part == "scheduler":  # its own server: the database may say so for half a minute after its end
        get("http://127.0.0.1:8974/health")  # says nothing; another status than 200 is an exception
        return True
    health = json.loads(get(API))
    return bool(health["metadatabase" if part == "api" else part]["status"] == "healthy")


if __name__ == "__main__":
    sys.exit(0 if main(sys.argv[1]) else 1)
