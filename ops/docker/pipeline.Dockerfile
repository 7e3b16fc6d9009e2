# What collects, trains and promotes. In the checkout: docker build -f ops/docker/pipeline.Dockerfile -t perennial/pipeline .
# State, and the signing key with it, lives in the volume. See docs/deploying.md.
ARG BASE=python:3.11-slim

FROM ${BASE} AS made
COPY requirements.txt /requirements.txt
# A registry of your own: --secret id=pip,src=pip.conf, and its certificates as --secret id=ca,src=ca.pem.
RUN --mount=type=secret,id=pip,target=/etc/pip.conf --mount=type=secret,id=ca \
    python -m venv /opt/venv \
    && /opt/venv/bin/pip install --no-cache-dir --disable-pip-version-check --no-deps --require-hashes -r /requirements.txt
WORKDIR /app
COPY . .
RUN rm -rf requirements requirements.txt && python -m compileall -q .

FROM ${BASE}
# LightGBM's wheel leaves OpenMP to the system.
RUN apt-get update && apt-get install -y --no-install-recommends libgomp1 && rm -rf /var/lib/apt/lists/*
RUN useradd --system --uid 10001 --user-group --no-create-home --home-dir /tmp perennial \
    && install -d -o perennial -g perennial /var/lib/perennial /var/lib/perennial/releases
COPY --from=made /opt/venv /opt/venv
COPY --from=made /app /app
WORKDIR /app
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    BENTOML_HOME=/tmp/bentoml BENTOML_DO_NOT_TRACK=True \
    PERENNIAL_HOME=/var/lib/perennial
VOLUME /var/lib/perennial
USER 10001
# A command ends by itself, and its exit code says how it went.
HEALTHCHECK NONE
ENTRYPOINT ["python", "run.py"]
CMD ["--help"]
