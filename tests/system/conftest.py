"""Everything in this folder starts servers, Airflow, containers or whole pipelines: `make test-all` runs it."""

from pathlib import Path

import pytest

HERE = Path(__file__).parent
# The longest files start first, or one worker would wait for the other at the end. The first needs the reproduction,
# the next two don't, so the second worker is busy meanwhile.
FIRST = [
    HERE / name
    for name in (
        "airflow/test_celery.py",
        "airflow/test_loop.py",
        "pipelines/test_full_data.py",
        "airflow/test_runs.py",
        "pipelines/test_monitor.py",
        "pipelines/test_registry.py",
        "pipelines/test_dvc.py",
        "workflows/test_jobs.py",
    )
]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.slow)
    items.sort(key=lambda item: FIRST.index(item.path) if item.path in FIRST else len(FIRST))
