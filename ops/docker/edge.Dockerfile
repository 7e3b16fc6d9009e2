# The agent of a device. In the checkout: docker build -f ops/docker/edge.Dockerfile -t perennial/edge .
# No model is inside: it comes from --source, and the pinned public key is mounted. See docs/deploying.md.
ARG BASE=python:3.11-slim

FROM ${BASE} AS made
# For a device that forecasts: --build-arg LAYER=edge-forecast.
ARG LAYER=edge
COPY requirements/${LAYER}.txt /requirements.txt
# A registry of your own: --secret id=pip,src=pip.conf, and its certificates as --secret id=ca,src=ca.pem.
RUN --mount=type=secret,id=pip,target=/etc/pip.conf --mount=type=secret,id=ca \
    python -m venv /opt/venv \
    && /opt/venv/bin/pip install --no-cache-dir --disable-pip-version-check --no-deps --require-hashes -r /requirements.txt
WORKDIR /app
COPY bento bento
COPY perennial perennial
RUN python -m compileall -q .

FROM ${BASE}
RUN useradd --system --uid 10001 --user-group --no-create-home --home-dir /tmp perennial \
    && install -d -o perennial -g perennial /var/lib/perennial /var/lib/perennial/releases
COPY --from=made /opt/venv /opt/venv
COPY --from=made /app /app
ENV PATH=/opt/venv/bin:$PATH PYTHONPATH=/app \
    PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    PERENNIAL_HOME=/var/lib/perennial PERENNIAL_PORT=3100
# The agent keeps its slots and its queue in `edge/` of the working directory.
WORKDIR /var/lib/perennial
VOLUME /var/lib/perennial
EXPOSE 3100
USER 10001
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["python", "-m", "bento.health"]
ENTRYPOINT ["python", "-m", "bento.edge"]
