# To pin it: docker buildx imagetools inspect python:3.13.16-slim-bookworm shows the digest, and
# docker build --build-arg PYTHON_IMAGE=python:3.13.16-slim-bookworm@sha256:… builds from nothing else.
ARG PYTHON_IMAGE=python:3.13.16-slim-bookworm
FROM ${PYTHON_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1
WORKDIR /src
# Without pip: nothing in it is ever installed into again.
RUN python -m venv --without-pip /opt/blnk-exporter
COPY requirements/runtime.txt requirements/build.txt requirements/
RUN pip --python /opt/blnk-exporter/bin/python install --no-compile --only-binary :all: --require-hashes \
        -r requirements/runtime.txt \
 && pip install --only-binary :all: --require-hashes -r requirements/build.txt
COPY pyproject.toml README.md LICENSE ./
COPY exporter exporter
# Compiled once, here: on a read-only file system nobody could do it later, and without usable .pyc files each start
# costs time and 13 MiB of memory. They hold no times, so that it does not matter what a copy makes of those.
RUN pip wheel --no-deps --no-build-isolation --wheel-dir /dist . \
 && pip --python /opt/blnk-exporter/bin/python install --no-compile --no-deps /dist/*.whl \
 && python -m compileall -q --invalidation-mode unchecked-hash /opt/blnk-exporter

FROM ${PYTHON_IMAGE}
# The image brings Python's own library without its .pyc files; what a server never imports stays as it is.
# /rendered is for `render` in deploy/compose: a new volume takes over the owner of the directory it is mounted on.
RUN python -m compileall -q --invalidation-mode unchecked-hash \
        -x '/(ensurepip|idlelib|lib2to3|pydoc_data|site-packages|tkinter|turtledemo)/' /usr/local/lib/python3.13 \
 && install -d -o 65532 -g 65532 /rendered/prometheus /rendered/grafana
COPY --from=build /opt/blnk-exporter /opt/blnk-exporter
ENV PATH=/opt/blnk-exporter/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    BLNK_EXPORTER_WEB_LISTEN_ADDRESS=:10501
# As a number, so that Kubernetes can tell that it is not root; no such user needs to exist. `serve` writes nothing.
USER 65532:65532
# Where blnk.json and exporter.yml are expected.
WORKDIR /etc/blnk
EXPOSE 10501
# No shell. It takes a tenth of a CPU second, and up to a minute of start under a tight CPU limit counts as starting.
HEALTHCHECK --interval=30s --timeout=15s --start-period=60s --retries=3 CMD ["blnk-exporter", "ping"]
ENTRYPOINT ["blnk-exporter"]
CMD ["serve"]
# Last, since they differ from build to build: docker build --build-arg REVISION="$(git rev-parse HEAD)" .
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="blnk-exporter" \
      org.opencontainers.image.description="Prometheus exporter for a Blnk ledger" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
