#!/bin/sh
# The whole test suite, GPU tests included. Makes sure of a Vulkan adapter first: if there is none, and the system's
# package manager is known, Mesa's software one is installed. Arguments go to `cargo test`.
set -eu
cd "$(dirname "$0")/.."

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; elif command -v sudo >/dev/null 2>&1; then sudo "$@"; else
        echo "test.sh: installing a driver needs root; run as root: $*" >&2
        exit 1
    fi
}

# Vulkan finds drivers by these files, unless the environment names one.
has_vulkan() {
    [ -n "${VK_ICD_FILENAMES:-}${VK_DRIVER_FILES:-}" ] && return 0
    for folder in /usr/share/vulkan/icd.d /usr/local/share/vulkan/icd.d /etc/vulkan/icd.d "${HOME:-/}/.local/share/vulkan/icd.d"; do
        for file in "$folder"/*.json; do [ -e "$file" ] && return 0; done
    done
    return 1
}

# macOS and Windows bring Metal and DX12 with them.
if [ "$(uname -s)" = Linux ] && [ -z "${WGPU_BACKEND:-}" ] && [ -z "${TILEGRAD_SKIP_GPU:-}" ] && ! has_vulkan; then
    echo "test.sh: no Vulkan driver found; installing Mesa's software one"
    if command -v apt-get >/dev/null 2>&1; then
        as_root apt-get update -qq
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq mesa-vulkan-drivers libvulkan1
    elif command -v dnf >/dev/null 2>&1; then
        as_root dnf install -y mesa-vulkan-drivers vulkan-loader
    elif command -v pacman >/dev/null 2>&1; then
        as_root pacman -Sy --noconfirm vulkan-swrast vulkan-icd-loader
    elif command -v zypper >/dev/null 2>&1; then
        as_root zypper install -y libvulkan_lvp libvulkan1
    elif command -v apk >/dev/null 2>&1; then
        as_root apk add mesa-vulkan-swrast vulkan-loader
    else
        echo "test.sh: no known package manager; install a Vulkan driver (Mesa's lavapipe will do) and run this again" >&2
        exit 1
    fi
fi

# wgpu's OpenGL backend has one context, and gives up on a thread that waits for it long.
case "${WGPU_BACKEND:-}" in *gl*) export RUST_TEST_THREADS=1 ;; esac
[ -z "${TILEGRAD_SKIP_GPU:-}" ] || echo "test.sh: TILEGRAD_SKIP_GPU is set: the tests that need a GPU are SKIPPED"

exec cargo test "$@"
