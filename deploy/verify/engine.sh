# Podman in place of Docker's engine, for verify.sh; to be sourced. All it keeps lies in $cache, and $work ends with the run.
# Images stay in $cache/storage. Containers, networks and volumes of the run are named by $project and removed by it.

# shellcheck shell=bash disable=SC2154 # cache, work and project are verify.sh's

needed_packages=(podman buildah runc netavark aardvark-dns iptables catatonit debootstrap)

missing_packages() {
    for name in "${needed_packages[@]}"; do
        dpkg-query --show --showformat='${db:Status-Status}' "$name" 2>/dev/null | grep -qx installed || echo "$name"
    done
}

configure_podman() {
    mkdir -p "$cache"/{storage,run,tmp,networks}
    cat > "$cache/containers.conf" <<EOF
[containers]
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
tmp_dir = "$cache/tmp"
[network]
network_backend = "netavark"
network_config_dir = "$cache/networks"
EOF
    printf '[storage]\ndriver = "overlay"\ngraphroot = "%s"\nrunroot = "%s"\n' "$cache/storage" "$cache/run" \
        > "$cache/storage.conf"
    export CONTAINERS_CONF=$cache/containers.conf CONTAINERS_STORAGE_CONF=$cache/storage.conf
}

# The URI of the Debian mirror that this machine uses.
mirror() {
    apt-get indextargets --format '$(SITE)' 'Created-By: Packages' "Codename: ${VERSION_CODENAME}" | head -n 1
}

# Docker's own compose plugin: the machine's, or the one of Debian trixie, unpacked and not installed.
fetch_compose() {
    local plugin apt
    for plugin in "$cache/docker-compose" /usr/libexec/docker/cli-plugins/docker-compose /usr/lib/docker/cli-plugins/docker-compose; do
        if [ -x "$plugin" ]; then ln -sf "$plugin" "$work/docker-compose"; return; fi
    done
    apt=$work/apt
    mkdir -p "$apt"/{parts,lists/partial,cache/archives/partial}
    printf 'Types: deb\nURIs: %s\nSuites: trixie\nComponents: main\nSigned-By: %s\n' \
        "$(mirror)" /usr/share/keyrings/debian-archive-keyring.gpg > "$apt/parts/trixie.sources"
    local options=(-qq -o "Dir::Etc::SourceList=/dev/null" -o "Dir::Etc::SourceParts=$apt/parts" -o "Dir::State::Lists=$apt/lists"
        -o "Dir::Cache=$apt/cache" -o "APT::Sandbox::User=root")
    apt-get "${options[@]}" update
    (cd "$apt" && apt-get "${options[@]}" download docker-compose && dpkg -x docker-compose_*.deb unpacked)
    mv "$apt/unpacked/usr/libexec/docker/cli-plugins/docker-compose" "$cache/docker-compose"
    ln -sf "$cache/docker-compose" "$work/docker-compose"
}

start_engine() {
    podman system service --time=0 "unix://$work/engine.sock" 2> "$work/engine.log" &
    for _ in $(seq 50); do [ -S "$work/engine.sock" ] && break; sleep 0.1; done
    [ -S "$work/engine.sock" ] || fail "podman's service does not start: $(tail -n 1 "$work/engine.log")"
    tick_health &
}

compose() {
    DOCKER_HOST=unix://$work/engine.sock DOCKER_BUILDKIT=0 DOCKER_CONFIG=$work COMPOSE_PROJECT_NAME=$project \
        "$work/docker-compose" --file "$checkout/docker-compose.yaml" --env-file "$work/env" --progress quiet "$@"
}

# Podman leaves health checks to systemd's timers; here there may be none, so this asks for each.
tick_health() {
    while true; do
        for id in $(podman ps --quiet --filter "label=com.docker.compose.project=$project" 2>/dev/null); do
            podman healthcheck run "$id" >/dev/null 2>&1 || true
        done
        sleep 4  # the checks themselves take seconds of a CPU
    done
}

container() {
    podman ps --all --quiet --filter "label=com.docker.compose.project=$project" --filter "label=com.docker.compose.service=$1"
}

state() {
    podman inspect --format '{{.State.Status}} {{if .State.Health}}{{.State.Health.Status}}{{end}} {{.State.Pid}}' "$(container "$1")"
}

remove_everything() {
    [ -S "$work/engine.sock" ] && compose down --volumes --timeout 5 >/dev/null 2>&1
    for helper in $(jobs -p); do kill "$helper" && wait "$helper"; done
    for id in $(podman ps --all --quiet --filter "label=com.docker.compose.project=$project"); do podman rm --force --time 0 "$id"; done
    for name in $(podman volume ls --quiet --filter "label=com.docker.compose.project=$project") "$project-alone"; do podman volume rm --force "$name"; done
    for name in $(podman network ls --quiet --filter "label=com.docker.compose.project=$project"); do podman network rm --force "$name"; done
} >/dev/null 2>&1
