# syntax=docker/dockerfile:1
FROM python:3.13.9-slim-bookworm AS build
WORKDIR /src
RUN python -m venv /opt/blnk-exporter
COPY requirements/runtime.txt requirements/build.txt requirements/
RUN /opt/blnk-exporter/bin/pip install --no-cache-dir --no-compile --require-hashes -r requirements/runtime.txt \
 && pip install --no-cache-dir --require-hashes -r requirements/build.txt
COPY pyproject.toml README.md LICENSE ./
COPY exporter exporter
# Compiled once here: without usable .pyc files each start costs time and 13 MiB of memory.
RUN pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /dist . \
 && /opt/blnk-exporter/bin/pip install --no-cache-dir --no-deps /dist/*.whl \
 && /opt/blnk-exporter/bin/pip uninstall --yes pip \
 && python -m compileall -q --invalidation-mode unchecked-hash /opt/blnk-exporter

FROM python:3.13.9-slim-bookworm
LABEL org.opencontainers.image.title="blnk-exporter" \
      org.opencontainers.image.description="Prometheus exporter for a Blnk ledger" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/blnk-exporter /opt/blnk-exporter
ENV PATH=/opt/blnk-exporter/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    BLNK_EXPORTER_WEB_LISTEN_ADDRESS=0.0.0.0:10501
# No name: numeric, so that Kubernetes can tell that it is not root. blnk.json is expected in the working directory.
USER 65532:65532
WORKDIR /etc/blnk
EXPOSE 10501
HEALTHCHECK --interval=15s --timeout=5s --start-period=10s CMD ["blnk-exporter", "ping"]
ENTRYPOINT ["blnk-exporter"]
CMD ["serve"]
