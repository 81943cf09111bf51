#!/bin/sh
# Runs the tests that need a GPU on the software implementations of Vulkan and OpenGL, and prints a table for docs/devices.md:
#
#     scripts/test_adapters.sh [--limit SECONDS] [--binary FILE] [lavapipe] [newer-mesa] [swiftshader] [opengl] [-- ARGS..]
#
# Without names all four: the machine's own Mesa, a newer one (scripts/newer_mesa.sh), SwiftShader (of the package chromium) and
# Mesa's OpenGL. Missing drivers are installed where apt-get is. ARGS go to the test binary, a part of a test's name say; FILE
# is such a binary that is built already. A run that takes more than SECONDS (3600) has failed. What each run printed is kept
# in test_adapters/ of the target folder. Exit code 1 if a test fails, or if nothing was run.
set -eu
cd "$(dirname "$0")/.."

say() { echo "test_adapters.sh: $*"; }
as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; elif command -v sudo >/dev/null 2>&1; then sudo "$@"; else
        say "installing a driver needs root; run as root: $*" >&2
        return 1
    fi
}
install() {
    command -v apt-get >/dev/null 2>&1 || return 1
    say "installing $*"
    as_root apt-get update -qq >/dev/null &&
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}
# The first of these that is a file.
first_file() {
    for file in "$@"; do
        [ -f "$file" ] && echo "$file" && return 0
    done
    return 1
}

limit=3600 binary='' chosen=''
while [ $# -gt 0 ]; do
    case $1 in
    --limit | --binary)
        [ $# -ge 2 ] || { say "$1 wants a value" >&2; exit 2; }
        if [ "$1" = --limit ]; then limit=$2; else binary=$2; fi
        shift
        ;;
    lavapipe | newer-mesa | swiftshader | opengl) chosen="$chosen $1" ;;
    --)
        shift
        break
        ;;
    -h | --help)
        sed -n '2,/^set /s/^# \{0,1\}//p' "scripts/$(basename "$0")"
        exit 0
        ;;
    *)
        say "there is no implementation or option \"$1\"; see --help" >&2
        exit 2
        ;;
    esac
    shift
done
[ -n "$chosen" ] || chosen="lavapipe newer-mesa swiftshader opengl"
[ "$(uname -s)" = Linux ] || { say "these implementations are installed on Linux only" >&2; exit 1; }

temporary=$(mktemp -d)
trap 'rm -rf "$temporary"' EXIT
trap 'exit 130' INT TERM
logs=${CARGO_TARGET_DIR:-target}/test_adapters
mkdir -p "$logs"
commit=$(git rev-parse --short HEAD 2>/dev/null || echo unknown)
if [ -n "$(git status --porcelain --untracked-files=no 2>/dev/null)" ]; then commit="$commit and changes"; fi
if [ -z "$binary" ]; then
    say "building the tests"
    binary=$(cargo test --no-run --test gpu --message-format=json-render-diagnostics |
        sed -n '/"kind":\["test"\]/s/.*"executable":"\([^"]*\)".*/\1/p' | tail -n 1)
fi
[ -x "$binary" ] || { say "there is no test binary \"$binary\"" >&2; exit 1; }
# Those that run only when they are asked for are left out.
"$binary" --list "$@" 2>/dev/null | sed -n 's/: test$//p' | sort >"$temporary/listed"
"$binary" --list --ignored "$@" 2>/dev/null | sed -n 's/: test$//p' | sort | comm -23 "$temporary/listed" - >"$logs/all"
say "$(wc -l <"$logs/all") tests of commit $commit"

# Some loaders complain without one.
if [ -z "${XDG_RUNTIME_DIR:-}" ]; then export XDG_RUNTIME_DIR="$temporary"; fi
# Every implementation starts without compiled kernels of earlier runs, so that times can be compared.
export MESA_SHADER_CACHE_DIR="$temporary/mesa" TILEGRAD_CACHE_DIR="$temporary/pipelines"
# Neither may choose another adapter or leave tests out, and a display is not asked.
unset TILEGRAD_ADAPTER TILEGRAD_SKIP_GPU WGPU_BACKEND DISPLAY WAYLAND_DISPLAY
swiftshader_json() {
    first_file /usr/lib/chromium/vk_swiftshader_icd.json /usr/lib64/chromium-browser/vk_swiftshader_icd.json && return 0
    library=$(first_file /usr/lib/chromium/libvk_swiftshader.so /usr/lib/chromium-browser/libvk_swiftshader.so \
        /usr/lib64/chromium-browser/libvk_swiftshader.so) || return 1
    printf '{"file_format_version": "1.0.0", "ICD": {"library_path": "%s", "api_version": "1.0.5"}}\n' "$library" \
        >"$temporary/swiftshader.json"
    echo "$temporary/swiftshader.json"
}
opengl_files() {
    PATH="$PATH:/usr/sbin:/sbin" ldconfig -p | grep -q 'libEGL_mesa\.so' && first_file /usr/lib/*/dri/*swrast*.so /usr/lib*/dri/*swrast*.so >/dev/null
}

# Sets `prefix`, by which a program gets this implementation, and `expected`, a part of its adapter's name; or else `reason`.
provide() {
    prefix='' expected='' reason=''
    case $1 in
    lavapipe)
        lavapipe() { first_file /usr/share/vulkan/icd.d/lvp_icd*.json; }
        lavapipe >/dev/null || install mesa-vulkan-drivers libvulkan1 || true
        if json=$(lavapipe); then
            prefix="env WGPU_BACKEND=vulkan VK_DRIVER_FILES=$json VK_ICD_FILENAMES=$json" expected='llvmpipe.*Vulkan'
        else
            reason="Mesa's lavapipe is not there, and could not be installed"
        fi
        ;;
    newer-mesa)
        # Made before the clock runs.
        if scripts/newer_mesa.sh true; then
            prefix="scripts/newer_mesa.sh" expected='llvmpipe.*Vulkan'
        else
            reason="scripts/newer_mesa.sh made no root"
        fi
        ;;
    swiftshader)
        swiftshader_json >/dev/null || install chromium libvulkan1 || true
        if json=$(swiftshader_json); then
            prefix="env WGPU_BACKEND=vulkan VK_DRIVER_FILES=$json VK_ICD_FILENAMES=$json" expected='SwiftShader.*Vulkan'
        else
            reason="the package chromium, which carries SwiftShader, is not there, and could not be installed"
        fi
        ;;
    opengl)
        opengl_files || install libegl1 libgl1-mesa-dri libgles2 || true
        if opengl_files; then
            # wgpu's OpenGL backend has one context, and gives up on a thread that waits for it long.
            prefix="env WGPU_BACKEND=gl RUST_TEST_THREADS=1 LIBGL_ALWAYS_SOFTWARE=1 GALLIUM_DRIVER=llvmpipe"
            expected='llvmpipe.*Gl'
        else
            reason="Mesa's EGL and its software rasteriser are not there, and could not be installed"
        fi
        ;;
    esac
}

failed=0 ran=0 skipped=0 failures=''
printf '| implementation | adapter | tests passed | time | commit |\n|---|---|---|---|---|\n' >"$logs/table.md"
for name in $chosen; do
    rm -rf "$MESA_SHADER_CACHE_DIR" "$TILEGRAD_CACHE_DIR"
    provide "$name"
    if [ -n "$reason" ]; then
        say "$name: SKIPPED: $reason"
        skipped=$((skipped + 1))
        continue
    fi
    log=$logs/$name.log
    # A test that says which adapter the others of this binary get.
    adapter=$($prefix "$binary" --exact device::a_part_of_the_name_in_any_case_chooses --nocapture 2>"$log" |
        sed -n 's/^.*adapter: //p' | tr -s ' ')
    if ! echo "$adapter" | grep -q "$expected"; then
        tail -n 5 "$log"
        say "$name: FAILED: the adapter is \"$adapter\", and none like \"$expected\"; see $log"
        failed=$((failed + 1)) failures="$failures $name"
        continue
    fi
    # SwiftShader has no version but that of its package.
    if [ "$name" = swiftshader ] && command -v dpkg-query >/dev/null 2>&1; then
        # shellcheck disable=SC2016 # dpkg's variable, not the shell's
        adapter="$adapter$(dpkg-query --show --showformat=', Chromium ${Version}' chromium 2>/dev/null || true)"
    fi
    say "$name: $adapter"
    ran=$((ran + 1)) status=0
    start=$(date +%s)
    # shellcheck disable=SC2086 # a prefix is several words
    timeout --kill-after 10 "$limit" $prefix "$binary" "$@" >"$log" 2>&1 || status=$?
    seconds=$(($(date +%s) - start))
    sed -n 's/^test \(.*\) \.\.\. ok$/\1/p' "$log" | sort -u >"$temporary/ok"
    sed -n 's/^test \(.*\) \.\.\. FAILED$/\1/p' "$log" | sort -u >"$temporary/failed"
    passed=$(wc -l <"$temporary/ok")
    if [ "$status" = 0 ]; then
        say "$name: $passed passed in $seconds s"
    else
        failed=$((failed + 1))
        case $status in 124 | 137) why="ended after $limit s" ;; *) why="exit code $status" ;; esac
        say "$name: $passed passed, $(wc -l <"$temporary/failed") failed in $seconds s: $why; see $log"
        sed 's/^/    failed: /' "$temporary/failed"
        sort "$temporary/ok" "$temporary/failed" | comm -13 - "$logs/all" | sed 's/^/    not through: /'
        failures="$failures $name"
    fi
    echo "| $name | $adapter | $passed of $(wc -l <"$logs/all") | $((seconds / 60)) min $((seconds % 60)) s | $commit |" >>"$logs/table.md"
done
echo
cat "$logs/table.md"
echo
say "$ran run, $failed failed${failures:+ (}${failures# }${failures:+)}, $skipped skipped"
[ "$failed" = 0 ] && [ "$ran" -gt 0 ]
