# The images of verify.sh; to be sourced. The bases are made from Debian's mirror, as there may be no registry to ask.

# shellcheck shell=bash disable=SC2154 # cache, work and checkout are verify.sh's

base=localhost/verify/python:bookworm
postgres=localhost/verify/postgres:bookworm
pipeline=localhost/verify/stock-assets-pipeline:latest
serving=localhost/verify/stock-assets-serving:latest

build() {
    # In the background, as a signal is told to this script only between its commands or while it waits.
    buildah bud --isolation=chroot --format docker --layers --quiet "$@" > "$work/build.log" 2>&1 &
    wait $! || { tail -n 20 "$work/build.log" >&2; fail "an image cannot be built"; }
}

# Debian bookworm, then what stands in for the official images of Python and PostgreSQL; made once.
make_bases() {
    if ! podman image exists localhost/verify/debian:bookworm; then
        debootstrap --variant=minbase bookworm "$work/debian" "$(mirror)" > "$work/debootstrap.log" &
        wait $! || fail "debootstrap: $(tail -n 1 "$work/debootstrap.log")"
        tar --directory "$work/debian" --exclude './var/cache/apt/archives/*.deb' --exclude './dev/*' --create . \
            | podman import --quiet - localhost/verify/debian:bookworm >/dev/null
        rm -rf "$work/debian"
    fi
    mkdir -p "$work/base"
    cp /etc/ssl/certs/ca-certificates.crt "$work/base/"
    build --tag "$base" --file "$checkout/deploy/verify/Dockerfile.base" "$work/base"
    build --tag "$postgres" --file "$checkout/deploy/verify/Dockerfile.postgres" "$checkout/deploy/verify"
}

# The project's images; the stages that only build them are tagged too, so that pruning keeps them for the next time.
make_images() {
    for target in serving-packages project run-time-packages serving pipeline; do
        build --build-arg "BASE_IMAGE=$base" --target "$target" --tag "localhost/verify/stock-assets-$target:latest" \
            --file "$checkout/deploy/Dockerfile" --ignorefile "$checkout/.dockerignore" "$checkout"
    done
    buildah rm --all >/dev/null  # what a build that was broken off left would keep its image from being pruned
    podman image prune --force >/dev/null
}

megabytes() {
    echo $(($(podman image inspect --format '{{.Size}}' "$1") / 1000000))
}
