#!/bin/sh
# Runs a command with the software Vulkan driver (lavapipe) of a newer Mesa than the machine's own:
#
#     scripts/newer_mesa.sh COMMAND..    makes the root first if it is not there
#     scripts/newer_mesa.sh --remove     removes the root
#
# The root is a Debian trixie with Mesa from trixie-backports, made once by debootstrap (500 MB, a minute or a few) in the user's
# cache folder; mirror and proxy are those of the machine's own apt. The command sees all files under the paths that they have
# outside, except /usr, /etc and /var, which are the root's. Its C library is newer than that of Debian 12 and Ubuntu 24.04,
# so that a test binary that was built there runs.
set -eu

suite=trixie
cache=${XDG_CACHE_HOME:-${HOME:?newer_mesa.sh: HOME names no folder}/.cache}/tilegrad/newer-mesa
checkout=$(cd "$(dirname "$0")/.." && pwd)

say() { echo "newer_mesa.sh: $*" >&2; }
fail() { say "$@"; exit 1; }
as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; elif command -v sudo >/dev/null 2>&1; then sudo -E "$@"; else
        fail "a root folder and its mounts need root; run as root: $0"
    fi
}

# Removes a folder, but never what somebody has mounted below it.
remove() {
    [ -e "$1" ] || return 0
    if grep -qF " $1/" /proc/self/mountinfo; then fail "something is mounted below $1; unmount it first"; fi
    as_root rm -rf --one-file-system "$1"
}

# Apt's own reading of its sources; a machine that has never fetched their lists does not know which are Debian's.
mirror() {
    command -v apt-get >/dev/null 2>&1 || return 0
    # shellcheck disable=SC2016 # apt's variables, not the shell's
    apt-get indextargets --format '$(ORIGIN) $(LABEL) $(REPO_URI)' 'Identifier: Packages' |
        sed -n 's/^Debian Debian //p' | head -n 1
}

make() {
    if ! command -v debootstrap >/dev/null 2>&1 || [ -z "$(mirror)" ]; then
        command -v apt-get >/dev/null 2>&1 || command -v debootstrap >/dev/null 2>&1 || fail "install debootstrap first"
        ! command -v apt-get >/dev/null 2>&1 || as_root apt-get update -qq
    fi
    if ! command -v debootstrap >/dev/null 2>&1; then
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq debootstrap debian-archive-keyring >&2
    fi
    mirror=$(mirror)
    say "making a Debian $suite with a newer Mesa in $cache/root, once"
    # Nothing looks at root.new, so what an interrupted making leaves there never counts as a root.
    remove "$cache/root.new"
    # In a mount namespace of its own, because debootstrap mounts /proc, and is not always left to unmount it.
    # shellcheck disable=SC2016 # the inner shell's variables
    as_root unshare --mount --propagation private sh -eu -c '
        new=$1 suite=$2 mirror=$3
        eval "$(apt-config shell proxy Acquire::http::Proxy 2>/dev/null || true)"
        if [ -n "${proxy:-}" ]; then export http_proxy="$proxy"; fi
        mkdir -p "$new"
        debootstrap --variant=minbase --include=ca-certificates "$suite" "$new" $mirror
        # Without a mirror of the machine it was the default of debootstrap, which it has written down.
        [ -n "$mirror" ] || mirror=$(sed -n "s/^deb \([^ ]*\) .*/\1/p" "$new/etc/apt/sources.list" | head -n 1)
        printf "deb %s %s main\n" "$mirror" "$suite" "$mirror" "$suite-backports" >"$new/etc/apt/sources.list"
        apt-config dump --no-empty --format "%f \"%v\";%n" Acquire::http Acquire::https \
            >"$new/etc/apt/apt.conf.d/machine" 2>/dev/null || true
        if [ -s /etc/ssl/certs/ca-certificates.crt ]; then
            cp /etc/ssl/certs/ca-certificates.crt "$new/etc/ssl/certs/ca-certificates.crt"
        fi
        cp /etc/resolv.conf /etc/hosts "$new/etc/" 2>/dev/null || true
        mount -t proc proc "$new/proc"
        export DEBIAN_FRONTEND=noninteractive LC_ALL=C
        chroot "$new" apt-get update -qq
        chroot "$new" apt-get install -y -qq --no-install-recommends -t "$suite-backports" mesa-vulkan-drivers libvulkan1
        chroot "$new" apt-get clean
        umount "$new/proc"
    ' sh "$cache/root.new" "$suite" "$mirror" >"$cache/making.log" 2>&1 ||
        { tail -n 20 "$cache/making.log" >&2; fail "the root was not made; the whole of what was said is in $cache/making.log"; }
    as_root mv "$cache/root.new" "$cache/root"
}

case ${1:-} in
"" | -h | --help)
    sed -n '2,/^set /s/^# \{0,1\}//p' "$0"
    [ -n "${1:-}" ] || exit 2
    exit 0
    ;;
--remove)
    [ -d "$cache" ] || { say "there is nothing to remove"; exit 0; }
    exec 9>"$cache/lock"
    flock --exclusive --nonblock 9 || fail "a command runs in $cache/root, or it is being made"
    remove "$cache/root"
    remove "$cache/root.new"
    remove "$cache"
    say "removed $cache"
    exit 0
    ;;
-*) fail "there is no option $1" ;;
esac

[ "$(uname -s)" = Linux ] || fail "this needs Linux"
command -v unshare >/dev/null 2>&1 || fail "this needs unshare (util-linux)"
as_root unshare --mount --propagation private true ||
    fail "this mounts folders in a mount namespace, which needs root, and in a container the right to mount"
mkdir -p "$cache"
exec 9>"$cache/lock"
if [ ! -d "$cache/root" ]; then
    flock --exclusive 9
    # Somebody else may have made it while this one waited.
    [ -d "$cache/root" ] || make
fi
# Held as long as the command runs, so that nobody removes the root under it.
flock --shared 9

icd=$(cd "$cache/root" && ls usr/share/vulkan/icd.d/lvp_icd*.json) || fail "there is no lavapipe in $cache/root; use --remove, then again"
export VK_DRIVER_FILES="/$icd" VK_ICD_FILENAMES="/$icd" WGPU_BACKEND=vulkan
# Pipelines of one driver are of no use to the other.
export TILEGRAD_CACHE_DIR="${TILEGRAD_CACHE_DIR-$cache/pipelines}"
# shellcheck disable=SC2016 # dpkg's variable, not the shell's
say "Mesa $(as_root chroot "$cache/root" dpkg-query --show --showformat='${Version}' mesa-vulkan-drivers), Debian $suite"

# What is mounted in a mount namespace of the command's own is gone with its last process, however that ends.
# shellcheck disable=SC2016 # the inner shell's variables
set -- sh -eu -c '
    root=$1 checkout=$2 user=$3
    shift 3
    visible() {
        if [ -d "$1" ] && ! [ "$1" -ef "$root$1" ]; then
            mkdir -p "$root$1"
            mount --rbind "$1" "$root$1" || { echo "newer_mesa.sh: $1 cannot be mounted below $root" >&2; exit 1; }
        fi
    }
    for dir in /*; do
        case $dir in
        /bin | /boot | /etc | /lib* | /lost+found | /sbin | /usr | /var) ;;
        *) [ -h "$dir" ] || visible "$dir" ;;
        esac
    done
    for dir in "$checkout" "$PWD" "$HOME" "${CARGO_TARGET_DIR:-}" "${CARGO_HOME:-}" "${RUSTUP_HOME:-}" "${TMPDIR:-}"; do
        case $dir in /*) visible "$dir" ;; esac
    done
    if [ "$user" = 0:0 ]; then set -- chroot "$root" "$@"; else set -- chroot --userspec="$user" "$root" "$@"; fi
    exec "$@"
' sh "$cache/root" "$checkout" "$(id -u):$(id -g)" sh -c 'cd "$1" && shift && exec "$@"' sh "$PWD" "$@"
if [ "$(id -u)" = 0 ]; then exec unshare --mount --propagation private "$@"; fi
exec sudo -E env HOME="$HOME" PATH="$PATH" unshare --mount --propagation private "$@"
