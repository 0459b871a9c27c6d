# Shared by ./quickstart and ./test: messages, Debian packages, the build.
# Sourced, not run. Everything it says goes to stderr.

# What a build needs. jq, curl and ca-certificates serve the scripts.
BUILD_PACKAGES=(gcc libc6-dev cmake ninja-build pkg-config libmicrohttpd-dev libgnutls28-dev
    libcurl4-openssl-dev libjansson-dev libzstd-dev libjpeg-dev jq curl
    ca-certificates)

say() { printf '%s\n' "$*" >&2; }

die() {
    printf '%s: %s\n' "$(basename "$0")" "$*" >&2
    exit 1
}

# missing_packages NAME…: prints those that are not installed.
missing_packages() {
    local name
    for name in "$@"; do
        dpkg-query -W -f '${Status}\n' "$name" 2>/dev/null |
            grep -q '^install ok installed$' || printf '%s\n' "$name"
    done
}

# need_packages NAME…: installs the missing ones, or says what to type.
need_packages() {
    command -v dpkg-query >/dev/null ||
        die "this script installs Debian packages and found no dpkg here;" \
            "install what docs/INSTALL.md lists and use cmake --preset release"
    local missing as_root=()
    mapfile -t missing < <(missing_packages "$@")
    [ ${#missing[@]} -eq 0 ] && return
    if [ "$(id -u)" -ne 0 ]; then
        if command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
            as_root=(sudo -n)
        else
            die "these packages are missing and installing them needs root:" \
                "${missing[*]}. Run as root: apt-get install ${missing[*]}"
        fi
    fi
    say "Installing ${#missing[@]} Debian packages: ${missing[*]}"
    local log
    log=$(mktemp)
    if ! { "${as_root[@]}" apt-get update &&
        "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
            apt-get install -y --no-install-recommends "${missing[@]}"; } \
        >"$log" 2>&1; then
        tail -n 5 "$log" >&2
        rm -f "$log"
        die "apt-get could not install the packages above." \
            "Is there a network, and is the Debian archive reachable?"
    fi
    rm -f "$log"
}

# build PRESET [CMAKE-OPTION…]: configures and builds into build/PRESET.
build() {
    local preset=$1 log
    shift
    mkdir -p build
    log=build/$preset.log
    say "Building $preset (log: $log)"
    if ! { cmake --preset "$preset" "$@" &&
        cmake --build --preset "$preset"; } >"$log" 2>&1; then
        tail -n 30 "$log" >&2
        die "the $preset build failed; the whole log is $log"
    fi
}
