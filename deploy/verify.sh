#!/usr/bin/env bash
# Builds the images, starts docker-compose.yaml as a project of its own on free ports, uses it, kills each container, and
# removes everything again; exits 1 with what was wrong. Needs root on Debian bookworm and podman, no Docker: see
# docs/deploy.md. The bases of the images are substituted. What is kept for the next time is in $cache.
set -euo pipefail

checkout=$(cd "$(dirname "$0")/.." && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/stock_assets-verify
work=$(mktemp -d)
project=verify-$$
# shellcheck disable=SC1091
. /etc/os-release
# shellcheck source=deploy/verify/engine.sh
. "$checkout/deploy/verify/engine.sh"
# shellcheck source=deploy/verify/images.sh
. "$checkout/deploy/verify/images.sh"

fail() {
    echo "FAILED: $*" >&2
    exit 1
}

step() {
    printf '%4d s  %s\n' "$SECONDS" "$*"
}

talk() {
    python3 "$checkout/deploy/verify/talk.py" "$@"
}

free_ports() {
    python3 -c "import socket as s; a, b = s.create_server(('127.0.0.1', 0)), s.create_server(('127.0.0.1', 0))
print(a.getsockname()[1], b.getsockname()[1])"
}

finish() {
    code=$?
    trap '' INT TERM
    [ $code = 0 ] || { podman ps --all --filter "label=com.docker.compose.project=$project" 2>/dev/null || true; }
    remove_everything || true
    rm -rf "$work"
    [ $code = 0 ] || echo "verify.sh: failed after $SECONDS s; everything was removed" >&2
}

prepare() {
    [ "$(id -u)" = 0 ] || fail "run it as root: it makes containers and their network"
    missing=$(missing_packages | paste -sd ' ')
    [ -z "$missing" ] || fail "this needs Debian's packages: apt-get install --no-install-recommends $missing"
    configure_podman
    fetch_compose
    exec 9> "$cache/lock"
    flock 9  # another verification may build the same images
    make_bases
    step "images to build on are there"
    make_images
    flock --unlock 9
    step "images built: pipeline $(megabytes "$pipeline") MB, serving $(megabytes "$serving") MB, of these base $(megabytes "$base") MB"
    read -r ui_port serving_port < <(free_ports)
    ui=http://127.0.0.1:$ui_port service=http://127.0.0.1:$serving_port
    printf '%s\n' "POSTGRES_PASSWORD=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')" "PIPELINE_IMAGE=$pipeline" \
        "SERVING_IMAGE=$serving" "POSTGRES_IMAGE=$postgres" "STOCK_ASSETS_DAGSTER_PORT=$ui_port" \
        "STOCK_ASSETS_SERVING_PORT=$serving_port" STOCK_ASSETS_DEMO_FILES=60 \
        STOCK_ASSETS_DEMO_START=2010-01-04 CODE_MEMORY=4g > "$work/env"
}

check_configuration() {
    compose config --quiet || fail "docker compose config"
    grep -v POSTGRES_PASSWORD "$work/env" > "$work/no-password"
    if "$work/docker-compose" --file "$checkout/docker-compose.yaml" --env-file "$work/no-password" config --quiet 2> "$work/said"; then
        fail "it would start without a password"
    fi
    grep -q 'POSTGRES_PASSWORD is missing a value: run: echo' "$work/said" || fail "without a password it says: $(cat "$work/said")"
    step "the configuration is valid, and refused without a password"
}

up() {
    timeout 300 "$BASH" -c "$(declare -f compose); $(declare -p work project checkout); compose up --detach --no-build --wait" \
        > "$work/up.log" 2>&1 || fail "not all services are healthy: $(tail -n 3 "$work/up.log")"
}

rows() {
    podman exec "$(container postgres)" psql --username stock_assets --dbname experiments --tuples-only --no-align \
        --command 'SELECT count(*) FROM experiments'
}

# What must survive: the runs, the rows of the table of experiments, the served version and what it answers.
kept() {
    local made trained predicted
    made=$(talk runs "$ui" | sort | cksum) && trained=$(rows) && predicted=$(talk predict "$service") || fail "what is kept cannot be asked"
    echo "$made experiments $trained prediction $predicted"
}

wait_until() {
    local seconds=$1
    shift
    for _ in $(seq $((seconds * 2))); do "$@" >/dev/null 2>&1 && return; sleep 0.5; done
    return 1
}

is_back() {
    local status health pid
    read -r status health pid < <(state "$1")
    [ "$status" = running ] && [ "$health" = healthy ] && [ "$pid" != "$2" ]
}

# The container's first process dies as in a crash; `podman kill` would count as a stop by hand, after which none restarts.
crash() {
    local pid
    pid=$(podman inspect --format '{{.State.Pid}}' "$(container "$1")")
    kill -KILL "$pid"
    wait_until 180 is_back "$1" "$pid" || fail "$1 was killed and is not back: $(state "$1")"
}

first_run() {
    run=$(talk launch "$ui")
    talk finished "$ui" "$run" 600 >/dev/null
    wait_until 30 talk predict "$service" || fail "the service has no model after run $run"
    answer=$(talk predict "$service")
    [[ $answer =~ ^[0-9]+\ 20[0-9TZ]+ ]] || fail "GET /predict answers $answer"
    step "run $run, launched by GraphQL, published a model: /predict answers ${answer% *}, version ${answer#* }"
}

down_and_up() {
    local before
    before=$(kept)
    compose down >/dev/null 2>&1
    [ -z "$(podman ps --all --quiet --filter "label=com.docker.compose.project=$project")" ] || fail "down leaves containers"
    up
    [ "$(kept)" = "$before" ] || fail "down and up lost something: $before before, $(kept) after"
    step "down and up again kept everything: ${before#* * }"
}

kill_each() {
    local before service_name answered failed longest
    before=$(kept)
    for service_name in postgres webserver daemon serving; do
        python3 "$checkout/deploy/verify/talk.py" ask "$service" > "$work/asked" &  # not a function: it is told to end
        asking=$!
        crash "$service_name"
        wait_until 60 talk runs "$ui" || fail "Dagster does not answer after $service_name was killed"
        wait_until 60 talk predict "$service" || fail "the service does not answer after $service_name was killed"
        kill "$asking"; wait "$asking" || true
        read -r answered failed longest < "$work/asked"
        [ "$(kept)" = "$before" ] || fail "killing $service_name lost something: $before before, $(kept) after"
        [ "$service_name" = serving ] || [ "$failed" = 0 ] || fail "$failed requests failed while $service_name was killed"
        step "$service_name killed and back; $answered predictions answered, $failed failed, longest wait $longest s"
    done
}

kill_during_run() {
    local before retried
    before=$(rows)
    podman exec "$(container code)" rm /data/market.duckdb  # so that there is work to do
    run=$(talk launch "$ui")
    talk started "$ui" "$run" 300 >/dev/null
    crash code
    talk finished "$ui" "$run" 900 > "$work/statuses"
    retried=$(cat "$work/statuses")
    [[ $retried == *FAILURE*SUCCESS* ]] || fail "the run of the killed code location ended as: $retried"
    [ "$(rows)" -ge "$before" ] || fail "rows of the table of experiments are gone"
    talk predict "$service" >/dev/null || fail "the service does not answer after a killed run"
    step "code killed in the middle of a run: it is back, the run failed and was made again ($retried)"
}

alone() {
    podman run --rm --name "$project-alone" --volume "$project-alone:/data" --env STOCK_ASSETS_DEMO_FILES=60 \
        --env STOCK_ASSETS_DEMO_START=2010-01-04 --read-only --tmpfs /tmp --cap-drop ALL "$pipeline" > "$work/alone.log" 2>&1 || fail "the image alone: $(tail -n 3 "$work/alone.log")"
    grep -q 'trained, promoted' "$work/alone.log" || fail "the image alone promoted no model"
    podman volume rm "$project-alone" >/dev/null
    step "the pipeline image alone, read-only and without capabilities, made and promoted a model"
}

trap finish EXIT
trap 'exit 130' INT TERM HUP
prepare
start_engine
check_configuration
alone
up
step "all services are healthy"
first_run
down_and_up
kill_each
kill_during_run
step "everything holds"
