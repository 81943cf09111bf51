#!/bin/sh
# Packs everything that another Linux machine (x86-64, no Rust, no network) needs to say what its GPU makes of tilegrad.
#
#     sh scripts/gpu_report.sh pack DIR      # here; DIR then holds at most 60 MB
#     DIR/run.sh OUT [MINUTES]               # there; OUT/report.md, OUT/report.json, OUT/logs.tar.gz
#
# DIR holds release binaries of the benchmark suite, of the example lenet and of the GPU tests with their golden files, the Vulkan
# loader, PyTorch's steps, and run.sh (scripts/gpu_report_run.sh), which says what is measured.
set -eu

usage() {
    echo "usage: gpu_report.sh pack DIR" >&2
    exit 2
}
[ $# -eq 2 ] && [ "$1" = pack ] || usage
most=60000000

# Only what an earlier pack has made is replaced.
mark=.tilegrad-gpu-report
mkdir -p "$2"
dir=$(cd "$2" && pwd)
if [ ! -e "$dir/$mark" ] && [ -n "$(ls -A "$dir")" ]; then
    echo "gpu_report.sh: $dir is not empty and no earlier pack; name another folder" >&2
    exit 2
fi
cd "$(dirname "$0")/.."
[ "$(uname -sm)" = "Linux x86_64" ] || echo "gpu_report.sh: packed on $(uname -sm), so it runs there only" >&2

# The program that cargo has built, by its own word.
built() {
    sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' | tail -n 1
}
echo "gpu_report.sh: building for release (minutes, the first time)"
json=--message-format=json-render-diagnostics
suite=$(cargo bench --bench suite --no-run $json | built)
lenet=$(cargo build --release --example lenet $json | built)
gpu=$(cargo test --release --test gpu --no-run $json | built)
for program in "$suite" "$lenet" "$gpu"; do
    [ -x "$program" ] || { echo "gpu_report.sh: cargo has not said where a program lies" >&2; exit 1; }
done

rm -rf "$dir/bin" "$dir/lib"
mkdir -p "$dir/bin/golden" "$dir/lib"
: >"$dir/$mark"
cp "$suite" "$dir/bin/suite"
cp "$lenet" "$dir/bin/lenet"
cp "$gpu" "$dir/bin/gpu"
strip "$dir/bin/suite" "$dir/bin/lenet" "$dir/bin/gpu"
cp tests/golden/*.json "$dir/bin/golden/"
cp benches/peers/torch_steps.py "$dir/bin/"
cp scripts/gpu_report_run.sh "$dir/run.sh"
chmod +x "$dir/run.sh"

# The loader, for machines that have a driver and none.
loader=$(ldconfig -p 2>/dev/null | sed -n 's/.*libvulkan\.so\.1 .*x86-64.* => //p' | head -n 1)
if [ -n "$loader" ]; then
    cp -L "$loader" "$dir/lib/libvulkan.so.1"
else
    echo "gpu_report.sh: no Vulkan loader here to pack (Debian: libvulkan1); the other machine must have one" >&2
fi
{
    echo "commit $(git rev-parse --short HEAD 2>/dev/null || echo unknown)$(git diff --quiet HEAD 2>/dev/null || echo ', changed')"
    rustc --version
} >"$dir/bin/about.txt"

bytes=$(du -sb "$dir" | cut -f 1)
echo "gpu_report.sh: $dir holds $bytes bytes"
[ "$bytes" -le "$most" ] || { echo "gpu_report.sh: that is more than $most" >&2; exit 1; }
