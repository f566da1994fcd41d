"""Everything in this folder starts servers, Airflow, containers or whole pipelines: `make test-all` runs it."""

from pathlib import Path

import pytest

HERE = Path(__file__).parent
# The longest files start first, or one worker would wait for the other at the end; files that wait for Airflow run
# beside files that train. The first needs the reproduction, the next three don't, so the second worker is busy.
FIRST = [
    HERE.parent / name
    for name in (
        "system/airflow/test_celery.py",
        "system/airflow/test_loop.py",
        "system/pipelines/test_full_data.py",
        "pipelines/imdb/test_predict.py",
        "system/airflow/test_runs.py",
        "system/pipelines/test_registry.py",
        "system/pipelines/test_dvc.py",
        "system/pipelines/test_monitor.py",
        "system/workflows/test_jobs.py",
        "pipelines/cifar10/test_official_data.py",
        "system/deploy/test_ecs.py",
    )
]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.slow)
    items.sort(key=lambda item: FIRST.index(item.path) if item.path in FIRST else len(FIRST))
