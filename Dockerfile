# docker build -t qsmprep .        what it holds and how to run it: docs/containers.md

FROM python:3.12-slim-bookworm AS build
# pip is the base's and stays in this stage.
RUN python -m venv --without-pip /opt/qsmprep
WORKDIR /src
# What we stand on changes less often than we do, and is installed first.
COPY pyproject.toml ./
RUN python -c "import tomllib; project = tomllib.load(open('pyproject.toml', 'rb'))['project']; \
print(*project['dependencies'], *project['optional-dependencies']['atlas'], sep='\n')" > wanted.txt \
    && pip --python /opt/qsmprep/bin/python install --no-cache-dir --no-compile -r wanted.txt
COPY README.md LICENSE ./
COPY qsmprep qsmprep
COPY workflows workflows
# Isolated (-I), as Apptainer lets PYTHONPATH and the packages of a home into the container.
RUN pip --python /opt/qsmprep/bin/python install --no-cache-dir --no-compile --no-deps '.[atlas]' \
    && sed -i '1s/$/ -I/' /opt/qsmprep/bin/qsmprep*
# Tests of libraries are a fifth of what they take. Byte code cannot be kept on a read-only root, so
# it is made here, and never checked against its source, as builders may change the times of files.
RUN find /opt/qsmprep/lib -type d -name tests -prune -exec rm -rf {} + \
    && python -W ignore -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/qsmprep/lib

# Templates that --atlas and --template find by name; none unless spaces are named, as in
# --build-arg TEMPLATEFLOW="MNI152NLin2009cSym". What cannot be fetched ends the build.
FROM python:3.12-slim-bookworm AS templates
ARG TEMPLATEFLOW=""
ENV TEMPLATEFLOW_HOME=/opt/templateflow
COPY containers/fetch_templates.py ./
RUN mkdir $TEMPLATEFLOW_HOME && if [ -n "$TEMPLATEFLOW" ]; then \
        pip install --no-cache-dir templateflow && python fetch_templates.py $TEMPLATEFLOW; fi

FROM python:3.12-slim-bookworm
RUN python -m compileall -q -j 0 --invalidation-mode unchecked-hash /usr/local/lib/python3.12 \
    && useradd --create-home qsmprep
COPY --from=templates /opt/templateflow /opt/templateflow
COPY --from=build /opt/qsmprep /opt/qsmprep
# There may be no home. Everything that libraries write goes to the work folder: the program sees
# to it. QSMPREP_IMAGE enters the dataset_description.json of the outputs.
ARG IMAGE=qsmprep:latest
ENV PATH=/opt/qsmprep/bin:$PATH \
    TEMPLATEFLOW_HOME=/opt/templateflow \
    QSMPREP_IMAGE=$IMAGE
ARG VERSION=unreleased
ARG REVISION=unknown
ARG SOURCE=""
LABEL org.opencontainers.image.title="qsmprep" \
      org.opencontainers.image.description="From multi-echo gradient-echo MRI in BIDS to regional brain-iron numbers" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version=$VERSION \
      org.opencontainers.image.revision=$REVISION \
      org.opencontainers.image.source=$SOURCE
USER qsmprep
# Any user can write to /tmp, and the default work folder ./work comes to lie there.
WORKDIR /tmp
ENTRYPOINT ["qsmprep"]
