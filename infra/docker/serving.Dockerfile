# The server, without PyTorch: `docker run <image>` is FastAPI, `... serve` SageMaker's contract, `... lambda` a function.
# Build from the root of the repository: python -m infra.images build serving
ARG BASE=python:3.11-slim-bookworm
FROM ${BASE} AS packages
ARG PIP_EXTRA_INDEX_URL
WORKDIR /build
COPY infra/docker/serving.lock infra/docker/slim.py ./
# --no-deps: the lock is complete, less what tokenizers wants for downloads. Every file is checked against its hash.
RUN pip install -q --no-cache-dir --no-compile --no-deps --require-hashes --target /packages -r serving.lock \
    && python slim.py /packages
COPY serving /opt/roadmap/serving
COPY roadmap/__init__.py /opt/roadmap/roadmap/
COPY roadmap/bundle /opt/roadmap/roadmap/bundle
COPY roadmap/io /opt/roadmap/roadmap/io
COPY roadmap/inference /opt/roadmap/roadmap/inference
COPY roadmap/prediction_log /opt/roadmap/roadmap/prediction_log
COPY pipelines /opt/roadmap/pipelines
COPY infra/docker/compile.py ./
RUN PYTHONHASHSEED=0 PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=/opt/roadmap:/packages python compile.py

FROM ${BASE}
COPY --from=packages /packages /packages
COPY --from=packages /opt/roadmap /opt/roadmap
COPY infra/docker/entrypoint.sh /usr/local/bin/roadmap
ARG COMMIT=unknown
LABEL org.opencontainers.image.title="roadmap serving" org.opencontainers.image.revision=${COMMIT}
ENV PYTHONPATH=/opt/roadmap:/packages PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    HOST=0.0.0.0 PORT=8000 SERVING_CACHE=/tmp/bundles HOME=/tmp
WORKDIR /opt/roadmap
USER 10001:10001
EXPOSE 8000 8080
# Of the server alone: SageMaker and Lambda have checks of their own and ignore this one.
HEALTHCHECK --interval=5s --timeout=3s --start-period=20s --retries=3 \
    CMD ["/usr/local/bin/roadmap", "health"]
ENTRYPOINT ["/usr/local/bin/roadmap"]
