# The code location, the web server and the daemon are one image. Not built where it was written: no
# Docker there.
FROM python:3.11.14-slim-bookworm

ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    OMP_NUM_THREADS=1 \
    MPLCONFIGDIR=/tmp/matplotlib \
    DAGSTER_HOME=/app/deploy

RUN groupadd --gid 10001 chillguard \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /data chillguard \
    && install -d -o chillguard -g chillguard /data

WORKDIR /app
COPY requirements/scale.txt requirements/scale.txt
RUN pip install --require-hashes --only-binary :all: -r requirements/scale.txt
COPY pipelines pipelines
COPY assets assets
COPY resources resources
COPY chillguard chillguard
COPY prompts prompts
COPY deploy deploy
ENV PYTHONPATH=/app

USER 10001:10001
VOLUME /data
EXPOSE 3000 4000
CMD ["dagster-webserver", "-h", "0.0.0.0", "-p", "3000", "-w", "deploy/workspace.yaml"]
