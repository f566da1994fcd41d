# `make help` lists what there is. Every target sets up what it needs; all are safe to repeat.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
PORT ?= 8000
MLFLOW_PORT ?= 5000
AIRFLOW_PORT ?= 8080
BIN := $(CURDIR)/.venv/bin
export PATH := $(BIN):$(PATH)
export PYTHONUNBUFFERED := 1
export AIRFLOW_PORT

.PHONY: help setup run test lint format serve mlflow airflow images manifests up smoke down bench figures peers lock clean

help:  ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

setup: .venv/ready  ## create .venv from requirements.lock

.venv/ready: requirements.lock infra/setup.sh
	@PYTHON="$(PYTHON)" infra/setup.sh .venv requirements.lock

run: setup  ## dvc repro on the embedded sample, then the table of figures
	@start=$$SECONDS; dvc repro && python -m pipelines.summary && echo "dvc repro took $$((SECONDS - start)) s"

test: setup .venv-airflow/ready  ## the whole test suite
	@python -m pytest -n 2 --dist loadfile

lint: setup  ## format, lint, types, import contracts
	ruff format --check .
	ruff check .
	mypy
	lint-imports

format: setup  ## let ruff put the format right
	ruff format .
	ruff check --fix .

serve: setup  ## serve every bundle on PORT (8000); the page is at /
	@python -m serving --port $(PORT)

mlflow: setup  ## open MLflow's page on MLFLOW_PORT (5000)
	@python -m pipelines.ui --port $(MLFLOW_PORT)

airflow: setup .venv-airflow/ready  ## start Airflow on AIRFLOW_PORT (8080): a DAG per project, and one for all
	@infra/airflow/up.sh

.venv-airflow/ready: infra/airflow/requirements.lock infra/setup.sh
	@PYTHON="$(PYTHON)" infra/setup.sh .venv-airflow infra/airflow/requirements.lock

images: setup  ## build the container images: serving, train, airflow
	@python -m infra.images build && python -m infra.images sizes

bench: setup peers .venv-airflow/ready  ## the benchmarks whose figures the README gives
	@for file in benchmarks/bench_*.py; do echo "== $$file"; python -m benchmarks.$$(basename $$file .py) || exit 1; done

figures: setup  ## renew the projects' tables in both READMEs from artifacts/
	@python -m pipelines.summary --readme

peers: .venv-peers/ready  ## the servers that bench_serving.py measures beside ours, in .venv-peers

.venv-peers/ready: benchmarks/serving/requirements.txt
	@command -v wrk >/dev/null || { echo "wrk is not installed; on Debian: apt-get install wrk" >&2; exit 1; }
	@PYTHON="$(PYTHON)" infra/setup.sh .venv-peers benchmarks/serving/requirements.txt

lock: setup  ## compile the lock files from pyproject.toml, infra/airflow/requirements.in and infra/docker/serving.in
	@uv pip compile pyproject.toml --extra serve --extra traces --extra recording --extra batch --extra lambda --extra aws --extra dev --python-version 3.11 --no-annotate \
		$(if $(PIP_FIND_LINKS),--find-links $(PIP_FIND_LINKS)) --custom-compile-command "make lock" -q -o requirements.lock
	@uv pip compile infra/airflow/requirements.in --python-version 3.11 --no-annotate --custom-compile-command "make lock" -q -o infra/airflow/requirements.lock
	@uv pip compile infra/docker/serving.in -c requirements.lock --python-version 3.11 --no-annotate --generate-hashes \
		$(foreach name,huggingface-hub hf-xet fsspec filelock httpx2 httpcore2 truststore tqdm pyyaml,--no-emit-package $(name)) \
		$(if $(PIP_FIND_LINKS),--find-links $(PIP_FIND_LINKS)) --custom-compile-command "make lock" -q -o infra/docker/serving.lock  # less what tokenizers wants for downloads
	@sed -i 's/+cpu$$//' requirements.lock  # the index, not the lock, decides between CPU and CUDA builds

clean:  ## remove what the stages made (DVC's cache and MLflow's store stay)
	rm -rf artifacts data

up: setup  ## the whole platform in containers on PORT (8000): infra/compose/README.md
	@python -m infra.images build
	@python -m infra.compose up

smoke: setup  ## try the four doors of `make up`
	@python -m infra.smoke

down: setup  ## stop what `make up` started; its data stays
	@python -m infra.compose down

manifests: setup  ## infra/k8s by Kubernetes' schemas and checkov's policies; needs kubectl
	@python -m pytest -q -n0 tests/test_k8s.py
