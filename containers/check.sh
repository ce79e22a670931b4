#!/usr/bin/env bash
# Build the image and map a simulated head in it, participant and group, in every manner that
# docs/containers.md shows and as a stranger to the image; each table has to be that of a run outside.
#
# usage: containers/check.sh [--apptainer] [--preset demo] [--folder DIR] [--python PYTHON]
#   --apptainer      in Apptainer as well
#   --preset demo    the three acquisitions of `make demo`, not one of 2 mm: takes ten times as long
#   --folder DIR     where images, data and results lie; images are kept for the next time
#   --python PYTHON  one that has qsmprep, to compare with; default: that of .venv
#
# The commands are for docker. Where it does not run, standin.sh makes its part with podman.
set -euo pipefail

here=$(cd "$(dirname "$0")/.." && pwd)
checks=${TMPDIR:-/tmp}/qsmprep-check preset=small with_apptainer='' python=$here/.venv/bin/python
while (($#)); do
    case $1 in
        --apptainer) with_apptainer=yes ;;
        --preset) preset=$2; shift ;;
        --folder) checks=$2; shift ;;
        --python) python=$2; shift ;;
        *) sed -n '2,/^set/{/^#/s/^# \?//p}' "$0"; exit 2 ;;
    esac
    shift
done
mkdir -p "$checks" && checks=$(cd "$checks" && pwd)
stranger=12345 # a user whom no image and no machine knows
cd "$here"

started=''
step() { # TEXT: tell how long the last one took
    [[ -z $started ]] || echo "--- $((SECONDS - started)) s"
    started=$SECONDS
    printf '\n=== %s\n' "$*"
}

trap '(($? == 0)) || echo "FAILED" >&2' EXIT

fresh() { # NAME OWNER: empty folders for outputs and intermediate results, in $OUT and $WORK
    OUT=$checks/$1/out WORK=$checks/$1/work
    # As root, as what strangers wrote the last time is theirs.
    docker run --rm -u 0 --entrypoint rm -v "$checks:/checks" qsmprep -rf "/checks/$1"
    mkdir -p "$OUT" "$WORK"
    if [[ $2 != "$(id -u)" && $(id -u) == 0 ]]; then
        chown "$2" "$OUT" "$WORK"
    else
        chmod 777 "$OUT" "$WORK"
    fi
}

same() { # is the table of this run that from outside?
    "$python" "$here/containers/compare_tables.py" "$checks/outside/out" "$OUT"
}

if ! docker version >/dev/null 2>&1; then
    # shellcheck source=containers/standin.sh
    . containers/standin.sh
    step "stand-ins for Docker and for the images that the Dockerfile begins with"
    standin_bases Dockerfile
fi
if [[ $with_apptainer ]] && ! type -P apptainer >/dev/null; then
    step "a stand-in for a machine with Apptainer"
    standin_apptainer
fi

step "build the image"
docker build -t qsmprep .
bytes=$(docker image inspect --format '{{.Size}}' qsmprep)
echo "image: $((bytes / 1000000)) MB"
((bytes < 2500000000))
docker image inspect --format '{{json .Config.Labels}}' qsmprep

step "every command starts, with nothing to write to and nobody's identity"
for command in $("$python" -c 'import tomllib
print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["scripts"])'); do
    docker run --rm --read-only --network none -u "$stranger:$stranger" --entrypoint "$command" \
        qsmprep --help >/dev/null
    echo "$command"
done

step "simulate"
DEMO=$checks/demo
BIDS=$DEMO/bids
ATLAS=$BIDS/derivatives/atlas-simulated
rm -rf "$DEMO" && mkdir "$DEMO"
if [[ $preset == demo ]]; then
    docker run --rm -u "$(id -u):$(id -g)" -v "$DEMO:/demo" \
        --entrypoint qsmprep-simulate qsmprep /demo/bids --preset demo
else
    docker run --rm -u "$(id -u):$(id -g)" -v "$DEMO:/demo" --entrypoint qsmprep-simulate \
        qsmprep /demo/bids --voxel-size 2 2 2 --resolution 2
fi | tail -1
chmod -R a+rX "$DEMO"

step "outside"
fresh outside "$(id -u)"
"$python" -m qsmprep.cli "$BIDS" "$OUT" participant --atlas simulated -w "$WORK"
"$python" -m qsmprep.cli "$BIDS" "$OUT" group

step "libraries of other releases inside than outside"
docker run --rm --entrypoint python -v "$here/containers:/containers:ro" qsmprep \
    /containers/versions.py >"$checks/versions-inside"
"$python" containers/versions.py >"$checks/versions-outside"
LC_ALL=C join "$checks/versions-outside" "$checks/versions-inside" |
    awk '$2 != $3 {print $1 ": " $2 " outside, " $3 " inside"}'

step "docker: with an atlas of the user's"
fresh docker "$(id -u)"
docker run --rm -u "$(id -u):$(id -g)" --network none --read-only \
    -v "$BIDS:/data:ro" -v "$OUT:/out" -v "$WORK:/work" -v "$ATLAS:/atlas:ro" \
    qsmprep /data /out participant --atlas /atlas -w /work
docker run --rm -u "$(id -u):$(id -g)" --network none --read-only \
    -v "$BIDS:/data:ro" -v "$OUT:/out" qsmprep /data /out group
same

step "docker: with the atlas of the image, which no option names; what can be is taken from before"
OUT=$checks/docker/out-of-image
mkdir "$OUT"
docker run --rm -u "$(id -u):$(id -g)" --network none --read-only \
    -v "$BIDS:/data:ro" -v "$OUT:/out" -v "$WORK:/work" \
    qsmprep /data /out participant -w /work
grep -c entorhinal "$OUT"/sub-*/anat/*_seg-DesikanKilliany_regions.tsv

step "docker: a stranger to the image, without a home"
fresh stranger "$stranger"
docker run --rm -u "$stranger:$stranger" -e HOME=/nonexistent --network none --read-only \
    -v "$BIDS:/data:ro" -v "$OUT:/out" -v "$WORK:/work" \
    qsmprep /data /out participant --atlas simulated -w /work
docker run --rm -u "$stranger:$stranger" -e HOME=/nonexistent --network none --read-only \
    -v "$BIDS:/data:ro" -v "$OUT:/out" qsmprep /data /out group
same
[[ $(stat -c %u "$OUT/status.tsv") == "$stranger" ]]

step "docker: with nothing but folders, and maps only"
fresh default 1000
docker run --rm -v "$BIDS:/data:ro" -v "$OUT:/out" qsmprep /data /out participant --atlas none

if [[ $with_apptainer ]]; then
    step "Apptainer: build"
    cd "$checks"
    chmod a+rwx .
    rm -rf containers qsmprep.tar qsmprep.sif
    cp -r "$here/containers" .
    docker save qsmprep -o qsmprep.tar
    chmod a+r qsmprep.tar
    apptainer build qsmprep.sif containers/apptainer.def
    rm qsmprep.tar
    echo "SIF: $(($(stat -c %s qsmprep.sif) / 1000000)) MB"

    step "Apptainer: with the user's home and an environment that leads astray"
    fresh apptainer "$stranger"
    mkdir -p astray
    echo 'raise ImportError("numpy of the host was taken")' >astray/numpy.py
    export PYTHONPATH=$checks/astray
    apptainer run -B "$BIDS:/data:ro" -B "$OUT:/out" -B "$WORK:/work" -B "$ATLAS:/atlas:ro" \
        qsmprep.sif /data /out participant --atlas /atlas -w /work
    apptainer run -B "$BIDS:/data:ro" -B "$OUT:/out" qsmprep.sif /data /out group
    unset PYTHONPATH
    same

    step "Apptainer: contained, without home and network"
    fresh contained "$stranger"
    apptainer run --containall --no-home --cleanenv --net --network none \
        -B "$BIDS:/data:ro" -B "$OUT:/out" -B "$WORK:/work" -B "$ATLAS:/atlas:ro" \
        qsmprep.sif /data /out participant --atlas /atlas -w /work
    apptainer run --containall --no-home --cleanenv --net --network none \
        -B "$BIDS:/data:ro" -B "$OUT:/out" qsmprep.sif /data /out group
    same
fi

step "all is well after $SECONDS s; image: $((bytes / 1000000)) MB"
