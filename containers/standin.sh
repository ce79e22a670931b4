# Sourced by check.sh where there is no Docker engine and no registry: `docker` and `apptainer` then
# are the functions below, on Debian's podman, buildah and runc. Needs root and Debian's mirrors.
#
# The image is built by buildah from the same Dockerfile and run by runc. What stands in is its base:
# Debian from debootstrap, with the Python that pyenv has here in /usr/local.

# shellcheck shell=bash disable=SC2154  # `checks`, `here` and `stranger` are those of check.sh

store=$checks/store
state=(--root "$store/storage" --runroot "$store/run" --storage-driver overlay)
mkdir -p "$store"

docker() {
    local command=$1
    shift
    case $command in
        build) set -- build --isolation chroot --network host --pull=never --layers "$@" ;;
        # Limits below those of this machine, which runc may not raise; and no /tmp beneath
        # --read-only, as podman has one and docker has none.
        run) set -- run --ulimit nofile=4096:4096 --ulimit nproc=4096:4096 \
            --read-only-tmpfs=false "$@" ;;
        save) set -- save --quiet "$@" ;;
        *) set -- "$command" "$@" ;;
    esac
    command podman "${state[@]}" --runtime runc --cgroup-manager cgroupfs \
        --events-backend none "$@"
}

need() { # PACKAGE...: install those of Debian that are missing
    local missing
    missing=$(for name; do dpkg -s "$name" >/dev/null 2>&1 || echo "$name"; done)
    [[ -z $missing ]] && return
    apt-get update -qq
    # shellcheck disable=SC2086  # several words
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing
}

mirror() { # the mirror that this machine takes packages from
    # shellcheck disable=SC2016  # apt-get expands it
    apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -m1 '/debian/*$'
}

debian() { # SUITE FOLDER: the smallest Debian there is, made once
    [[ -e $2/.done ]] && return
    rm -rf "$2"
    debootstrap --variant=minbase --include=ca-certificates "$1" "$2" "$(mirror)" >"$2.log" 2>&1 ||
        { tail -5 "$2.log" >&2; return 1; }
    # How this machine reaches packages, as the steps of a build do it from inside.
    cp /etc/apt/apt.conf.d/99* "$2/etc/apt/apt.conf.d/" 2>/dev/null || true
    cp /etc/ssl/certs/ca-certificates.crt "$2/etc/ssl/certs/"
    cp /etc/pip.conf "$2/etc/" 2>/dev/null || true
    touch "$2/.done"
}

python_base() { # IMAGE, such as docker.io/library/python:3.12-slim-bookworm
    local suite=${1##*-} version root=$store/${1##*[/:]} pyenv container mount
    version=$(sed -E 's/.*:([0-9]+\.[0-9]+).*/\1/' <<<"$1")
    docker image exists "$1" && return
    debian "$suite" "$root"
    pyenv=$(find "${PYENV_ROOT:-$HOME/.pyenv}/versions" -maxdepth 1 -name "$version.*" |
        sort -V | tail -1)
    [[ -n $pyenv ]] || { echo "pyenv has no Python $version here" >&2; return 1; }
    # As in the image it stands for: neither tests nor byte code.
    tar -C "$pyenv" --exclude='test' --exclude='__pycache__' --exclude='*.a' \
        -cf - bin lib include share | tar -C "$root/usr/local" -xf -
    grep -lIr "^#!$pyenv/" "$root/usr/local/bin" | xargs -r sed -i "1s|.*|#!/usr/local/bin/python3|"
    ln -sf "python$version" "$root/usr/local/bin/python3"
    ln -sf python3 "$root/usr/local/bin/python"
    chroot "$root" sh -ec 'apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
            libssl3 libffi8 zlib1g libbz2-1.0 liblzma5 libsqlite3-0 libreadline8 libncursesw6 \
            libexpat1 libuuid1 netbase tzdata >/dev/null
        rm -rf /var/lib/apt/lists/* /var/cache/apt/archives/*.deb && ldconfig
        python3 -c "import bz2, ctypes, lzma, sqlite3, ssl"'
    container=$(buildah "${state[@]}" from scratch)
    mount=$(buildah "${state[@]}" mount "$container")
    tar -C "$root" --exclude=./.done -cf - . | tar -C "$mount" -xf -
    buildah "${state[@]}" config --env LANG=C.UTF-8 --cmd python3 --env \
        PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin "$container"
    buildah "${state[@]}" commit -q --rm "$container" "$1" >/dev/null
}

standin_bases() { # DOCKERFILE: a local image for everything it begins with
    local image
    need buildah podman runc debootstrap
    sed -nE 's/^FROM (python:[^ ]+).*/\1/p' "$1" | sort -u | while read -r image; do
        python_base "docker.io/library/$image" </dev/null
    done
}

# Apptainer needs a newer Debian than this one, so it gets a root of its own, in which the checks'
# folder has its usual place. It refuses to run as root; its user is the foreign one.
standin_apptainer() {
    host=$store/apptainer
    need debootstrap bubblewrap
    debian trixie "$host"
    if [[ ! -e $host/usr/bin/apptainer ]]; then
        echo 'APT::Default-Release "trixie";' >"$host/etc/apt/apt.conf.d/01release"
        sed 's/ trixie / sid /' "$host/etc/apt/sources.list" >"$host/etc/apt/sources.list.d/sid.list"
        chroot "$host" sh -ec 'apt-get update -qq
            DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
                apptainer/sid squashfuse >/dev/null'
        chroot "$host" useradd --uid "$stranger" --create-home someone
        rm -f "$host"/etc/sub[ug]id # as on many clusters; a sandbox may not map further users
    fi
    [[ -e $store/fuse ]] || mknod -m 666 "$store/fuse" c 10 229
    mkdir -p "$host/$checks" "$host/$here" "$host/scratch"
}

apptainer() {
    bwrap --bind "$host" / --dev-bind /dev /dev --dev-bind "$store/fuse" /dev/fuse \
        --bind /proc /proc --bind /sys /sys --perms 1777 --tmpfs /scratch --bind "$checks" "$checks" \
        --ro-bind "$here" "$here" --cap-add ALL --chdir "$PWD" \
        setpriv --reuid "$stranger" --regid "$stranger" --clear-groups \
        env -i HOME=/home/someone USER=someone PATH=/usr/bin:/bin PYTHONPATH="${PYTHONPATH-}" \
        APPTAINER_TMPDIR=/scratch apptainer "$@"
}
