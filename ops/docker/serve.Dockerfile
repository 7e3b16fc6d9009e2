# What answers predictions. In the checkout: docker build -f ops/docker/serve.Dockerfile -t perennial/serve .
# No model is inside: the releases folder and the public key are mounted. See docs/deploying.md.
ARG BASE=python:3.11-slim

FROM ${BASE} AS made
COPY requirements/serve.txt /requirements.txt
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
WORKDIR /app
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    BENTOML_HOME=/tmp/bentoml BENTOML_DO_NOT_TRACK=True \
    PERENNIAL_HOME=/var/lib/perennial PERENNIAL_HOST=0.0.0.0 PERENNIAL_PORT=3000
VOLUME /var/lib/perennial
EXPOSE 3000
USER 10001
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["python", "-m", "bento.health"]
ENTRYPOINT ["python", "-m", "bento"]
