# Sourced by ./boot and ./check: messages, long steps with progress, Debian packages, the build.
# shellcheck shell=bash
# Needs: root (the project's folder), me (the script's name).

logs=$root/cache/logs

say() { printf '%s: %s\n' "$me" "$*" >&2; }
fail() { say "$*"; exit 1; }

# try_step TEXT COMMAND...: runs the command with its output in a log, and shows that time passes.
try_step() {
    local text=$1 log started pid done status=0
    shift
    mkdir -p "$logs"
    log=$(step_log "$text")
    started=$SECONDS
    say "$text"
    "$@" >"$log" 2>&1 &
    pid=$!
    while kill -0 "$pid" 2>/dev/null; do
        sleep 0.2
        # ninja's "[12/345]" says more than the time alone.
        done=$(tail -n 1 "$log" | grep -o '^\[[0-9/]*\]' || true)
        if [ -t 2 ]; then
            printf '\r%s: %s, %d s %s ' "$me" "$text" $((SECONDS - started)) "$done" >&2
        elif [ $((SECONDS - started)) -ge 30 ] && [ $(((SECONDS - started) % 30)) -eq 0 ]; then
            say "$text: $((SECONDS - started)) s $done"
            sleep 1
        fi
    done
    wait "$pid" || status=$?
    if [ -t 2 ]; then printf '\r\033[K' >&2; fi
    return "$status"
}

step_log() { printf '%s/%s.log' "$logs" "$(printf '%s' "$1" | tr -c 'A-Za-z0-9' '-' | cut -c1-48)"; }

# The same, and shows the end of the log when it fails.
step() {
    local status=0
    try_step "$@" || status=$?
    [ "$status" -ne 0 ] || return 0
    tail -n 25 "$(step_log "$1")" >&2
    say "$1: failed (status $status); the whole log is in $(step_log "$1")"
    return "$status"
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        fail "this needs root: run it as root, or install sudo"
    fi
}

apt_quiet() {
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get -q -y -o DPkg::Lock::Timeout=600 -o Acquire::Retries=3 "$@"
}

# packages NAME...: installs those that are missing.
packages() {
    local name missing=()
    command -v dpkg-query >/dev/null && command -v apt-get >/dev/null ||
        fail "this is no Debian: install what $* hold by hand, and build with meson"
    for name in "$@"; do
        [ "$(dpkg-query -W -f '${db:Status-Status}\n' "$name" 2>/dev/null | head -n 1)" = installed ] ||
            missing+=("$name")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    if ! apt-cache show "${missing[@]}" >/dev/null 2>&1; then
        # A source of a third party that is down must not stop us: the install says what is missing.
        try_step "reading the list of Debian's packages" apt_quiet update || true
    fi
    step "installing ${missing[*]}" apt_quiet install --no-install-recommends "${missing[@]}" ||
        exit 1
}

build_packages=(gcc libc6-dev binutils meson ninja-build pkg-config python3 acpica-tools
    libcapstone-dev libjansson-dev zlib1g-dev seabios)
test_packages=(libcriterion-dev libzydis-dev clang-format)

# build FOLDER SETUP-OPTIONS... -- TARGETS...
build() {
    local folder=$1 options=()
    shift
    while [ "$1" != -- ]; do options+=("$1"); shift; done
    shift
    if [ ! -e "$root/$folder/build.ninja" ]; then
        step "configuring $folder" meson setup "$root/$folder" "$root" "${options[@]}" || exit 1
    fi
    # Without work to do this takes no time, and then says nothing.
    if [ "$(ninja -C "$root/$folder" -n "$@" 2>/dev/null | tail -n 1)" = "ninja: no work to do." ]; then
        return 0
    fi
    step "building $folder" ninja -C "$root/$folder" "$@" || exit 1
}
