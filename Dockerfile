# docker build -t qsmprep .

FROM python:3.12-slim-bookworm AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY qsmprep qsmprep
COPY workflows workflows
RUN python -m venv /opt/qsmprep && /opt/qsmprep/bin/pip install --no-cache-dir .

FROM python:3.12-slim-bookworm
ARG IMAGE=qsmprep:latest
LABEL org.opencontainers.image.title="qsmprep" \
      org.opencontainers.image.description="From multi-echo gradient-echo MRI in BIDS to regional brain-iron numbers" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/qsmprep /opt/qsmprep
# There may be no home, and the root may be read-only. Compiled loops are cached in the work folder:
# in Apptainer /tmp is shared with other users, and numba stops where it may not write. QSMPREP_IMAGE
# enters the outputs' dataset_description.json.
ENV PATH=/opt/qsmprep/bin:$PATH \
    MPLCONFIGDIR=/tmp/matplotlib \
    QSMPREP_IMAGE=$IMAGE
RUN useradd --create-home qsmprep
USER qsmprep
# /tmp can be written by any user, and the default work folder ./work comes to lie there.
WORKDIR /tmp
ENTRYPOINT ["qsmprep"]
