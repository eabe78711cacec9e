# One image for every part: `docker run fundingstream producer kucoin`, `… worker`, `… sink`.
# The base is an argument so that machines without an image registry can name one of their own
# (infra/docker/README.md).
ARG PYTHON_IMAGE=python:3.11.14-slim-bookworm@sha256:65a93d69fa75478d554f4ad27c85c1e69fa184956261b4301ebaf6dbb0a3543d

FROM ${PYTHON_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
RUN python -m venv /opt/fundingstream
WORKDIR /src
# The dependencies are a layer of their own: a change of the code does not install them again.
COPY constraints.txt pyproject.toml infra/docker/requirements.py ./
RUN python requirements.py pyproject.toml > requirements.txt \
 && /opt/fundingstream/bin/pip install --only-binary=:all: -c constraints.txt -r requirements.txt
COPY . .
# The build's own requirements are pinned by the same file.
RUN PIP_CONSTRAINT=constraints.txt /opt/fundingstream/bin/pip install --no-deps . \
 && /opt/fundingstream/bin/pip uninstall --yes pip setuptools \
 && find /opt/fundingstream -type d -name tests -prune -exec rm -r {} + \
 && /opt/fundingstream/bin/python -m compileall -q --invalidation-mode unchecked-hash /opt/fundingstream

FROM ${PYTHON_IMAGE}
RUN groupadd --gid 10001 fundingstream \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/fundingstream \
      --shell /usr/sbin/nologin fundingstream \
 && install -d -o fundingstream -g fundingstream /run/fundingstream /var/lib/fundingstream \
      /var/lib/fundingstream/producer /var/lib/fundingstream/registry \
      /var/lib/fundingstream/simulator /var/lib/fundingstream/worker
COPY --from=build /opt/fundingstream /opt/fundingstream
ENV PATH=/opt/fundingstream/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
# The only place that parts write to: the root file system may be read-only.
WORKDIR /var/lib/fundingstream
# Each part's own: HEALTH_URL says where it tells how it is.
HEALTHCHECK --interval=5s --timeout=5s --retries=12 --start-period=60s \
  CMD ["python", "-m", "schemas.http.probe"]
# No shell in between: SIGTERM reaches the part, which then ends in order.
ENTRYPOINT ["fundingstream"]
CMD ["--help"]
# Last, since they change with every commit.
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="fundingstream" \
      org.opencontainers.image.description="Live perpetual-futures funding rates: exchange WebSockets to Kafka, Faust z-scores, ClickHouse" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="https://github.com/fundingstream/fundingstream" \
      org.opencontainers.image.documentation="https://github.com/fundingstream/fundingstream/blob/main/docs/deployment.md" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
