# What Airflow's tasks and services run in: Git, and both environments as `make` makes them. The checkout comes from
# outside: infra/compose clones it into a volume, infra/k8s/airflow-pod.yaml into the pod.
# Build from the root of the repository: python -m infra.images build airflow
ARG BASE=python:3.11-slim-bookworm
FROM ${BASE}
ARG PIP_EXTRA_INDEX_URL
ARG PIP_FIND_LINKS
ARG PIP_TRUSTED_HOST
# cpu: an index or a folder of CPU builds must be named above, and CUDA's libraries stay away; cuda: as the lock has it.
ARG TORCH=cpu
RUN apt-get -q update && apt-get -q install -y --no-install-recommends git libgomp1 && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 10001 roadmap && useradd --uid 10001 --gid 10001 --create-home roadmap \
    && install -d -o 10001 -g 10001 /checkout
WORKDIR /opt/roadmap
COPY requirements.lock ./
RUN python -m venv .venv \
    && { [ "$TORCH" = cuda ] || sed -i -E '/^(cuda|nvidia|triton)[-=]/d' requirements.lock; } \
    && .venv/bin/pip install -q --no-cache-dir --no-deps -r requirements.lock && .venv/bin/python -c "import torch" && touch .venv/ready
COPY infra/airflow/requirements.lock infra/airflow/requirements.lock
RUN python -m venv .venv-airflow \
    && .venv-airflow/bin/pip install -q --no-cache-dir --no-deps -r infra/airflow/requirements.lock \
    && touch .venv-airflow/ready
ARG COMMIT=unknown
LABEL org.opencontainers.image.title="roadmap airflow" org.opencontainers.image.revision=${COMMIT}
ENV PYTHONUNBUFFERED=1 ROADMAP_VENV=/opt/roadmap/.venv
USER 10001:10001
WORKDIR /checkout
