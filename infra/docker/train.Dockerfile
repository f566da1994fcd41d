# What trains: the project's environment. `train` as argument is SageMaker's contract, anything else a command.
# Build from the root of the repository: python -m infra.images build train
ARG BASE=python:3.11-slim-bookworm
FROM ${BASE}
ARG PIP_EXTRA_INDEX_URL
ARG PIP_FIND_LINKS
ARG PIP_TRUSTED_HOST
# cpu: an index or a folder of CPU builds must be named above, and CUDA's libraries stay away; cuda: as the lock has it.
ARG TORCH=cpu
RUN apt-get -q update && apt-get -q install -y --no-install-recommends git libgomp1 && rm -rf /var/lib/apt/lists/*
WORKDIR /opt/roadmap
COPY requirements.lock ./
RUN python -m venv .venv \
    && { [ "$TORCH" = cuda ] || sed -i -E '/^(cuda|nvidia|triton)[-=]/d' requirements.lock; } \
    && .venv/bin/pip install -q --no-cache-dir --no-deps -r requirements.lock && .venv/bin/python -c "import torch"
# the MLflow server over PostgreSQL: infra/compose, the stack `tracking`
RUN .venv/bin/pip install -q --no-cache-dir --no-deps psycopg2-binary==2.9.13
COPY params.yaml dvc.yaml pyproject.toml ./
COPY roadmap roadmap
COPY serving serving
COPY models models
COPY pipelines pipelines
COPY infra/docker/train.sh /usr/local/bin/roadmap
ARG COMMIT=unknown
LABEL org.opencontainers.image.title="roadmap train" org.opencontainers.image.revision=${COMMIT}
ENV PATH=/opt/roadmap/.venv/bin:$PATH PYTHONPATH=/opt/roadmap PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp
# SageMaker runs training as root, and /opt/ml belongs to it there; elsewhere say --user.
ENTRYPOINT ["/usr/local/bin/roadmap"]
