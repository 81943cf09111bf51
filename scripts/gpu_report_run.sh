#!/bin/sh
# Measures this machine's GPU, what is worth most first, and writes one report.
#
#     ./run.sh OUT [MINUTES] [--allow-software]      # 8 minutes
#
# OUT/report.md has the tables, OUT/report.json all numbers, OUT/logs.tar.gz what every command printed. They are written anew after
# each item, so a run that is ended has what it had. Each item has a time limit of its own, and none ends the others. A driver is
# looked for where drivers put their ICD files; VK_DRIVER_FILES names one, TILEGRAD_ADAPTER an adapter by a part of its name.
set -u

out= minutes=8 software=
for argument in "$@"; do
    case "$argument" in
        --allow-software) software=1 ;;
        -*) echo "run.sh: unknown option $argument; usage: run.sh OUT [MINUTES] [--allow-software]" >&2; exit 2 ;;
        *) if [ -z "$out" ]; then out=$argument; else minutes=$argument; fi ;;
    esac
done
case "$minutes" in ''|*[!0-9]*|0) echo "run.sh: MINUTES must be a whole number above 0, it is \"$minutes\"" >&2; exit 2 ;; esac
[ -n "$out" ] || { echo "usage: run.sh OUT [MINUTES] [--allow-software]" >&2; exit 2; }
mkdir -p "$out" || exit 1
out=$(cd "$out" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
bin=$here/bin
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM HUP
cd "$work" || exit 1
began=$(date +%s)
total=$((minutes * 60))
echo "run.sh: $minutes minutes, results in $out"

# --- The driver --------------------------------------------------------------------------------------------------------------

if ! ldconfig -p 2>/dev/null | grep -q 'libvulkan\.so\.1'; then
    LD_LIBRARY_PATH=$here/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
    export LD_LIBRARY_PATH
fi
# The loader looks in the usual places itself; containers mount drivers elsewhere, or without the file.
has_icd() {
    for folder in /usr/share/vulkan/icd.d /usr/local/share/vulkan/icd.d /etc/vulkan/icd.d "${HOME:-/}/.local/share/vulkan/icd.d"; do
        for file in "$folder"/*"$1"*.json; do [ -e "$file" ] && return 0; done
    done
    return 1
}
if [ -z "${VK_DRIVER_FILES:-}${VK_ICD_FILENAMES:-}" ] && ! has_icd nvidia; then
    for file in /usr/local/nvidia/share/vulkan/icd.d/*.json /run/opengl-driver/share/vulkan/icd.d/*.json; do
        [ -e "$file" ] && VK_DRIVER_FILES=${VK_DRIVER_FILES:+$VK_DRIVER_FILES:}$file
    done
    if [ -z "${VK_DRIVER_FILES:-}" ]; then
        # NVIDIA's container runtime may bring the library without the file that names it.
        for library in libGLX_nvidia.so.0 libEGL_nvidia.so.0; do
            found=$(ldconfig -p 2>/dev/null | sed -n "s/.*$library .* => //p" | head -n 1)
            for place in "$found" "/usr/local/nvidia/lib64/$library" "/usr/lib/x86_64-linux-gnu/$library" "/usr/lib64/$library"; do
                if [ -n "$place" ] && [ -e "$place" ]; then
                    printf '{"file_format_version": "1.0.0", "ICD": {"library_path": "%s", "api_version": "1.3.0"}}\n' "$place" >"$work/nvidia_icd.json"
                    VK_DRIVER_FILES=$work/nvidia_icd.json
                    break 2
                fi
            done
        done
    fi
    if [ -n "${VK_DRIVER_FILES:-}" ]; then
        export VK_DRIVER_FILES
        echo "run.sh: driver files $VK_DRIVER_FILES"
    fi
fi
export XDG_RUNTIME_DIR="${XDG_RUNTIME_DIR:-$work}" TILEGRAD_CACHE_DIR="$work/cache" TMPDIR="$work"
mkdir -p "$work/cache"

# --- Items -------------------------------------------------------------------------------------------------------------------

left() { echo $((began + total - $(date +%s))); }

# The report as far as it goes.
write_report() {
    "$bin/suite" --report "$work" >"$work/compose.log" 2>&1 || echo "run.sh: the report could not be written: $(cat "$work/compose.log")" >&2
    for file in report.md report.json; do
        if [ -e "$work/$file" ]; then cp "$work/$file" "$out/.$file" && mv "$out/.$file" "$out/$file"; fi
    done
    (cd "$work" && tar -czf "$out/.logs.tar.gz" -- *.log *.txt *.tsv) 2>/dev/null && mv "$out/.logs.tar.gz" "$out/logs.tar.gz"
}

# item NAME SECONDS TITLE COMMAND..: SECONDS is its limit of eight minutes.
item() {
    name=$1 limit=$(($2 * minutes / 8)) title=$3
    shift 3
    rest=$(left)
    if [ "$rest" -lt 10 ]; then
        echo "run.sh: no time left for $name"
        printf '%s\t%s\t%s\t%s\t%s\n' "$name" "$title" 124 0 "not begun, the time was over" >>items.tsv
        return 0
    fi
    [ "$limit" -ge 5 ] || limit=5
    [ "$limit" -le "$rest" ] || limit=$rest
    from=$(date +%s)
    echo "run.sh: $name (at most $limit s): $*"
    # The suite begins nothing new some time before it would be ended.
    soft=$((limit * 3 / 4))
    case "$1" in suite) set -- "$@" --seconds "$soft" --json "$work/$name.json" ;; esac
    program=$1
    shift
    case "$program" in python3) ;; both_lenets) ;; *) program=$bin/$program ;; esac
    if [ "$program" = both_lenets ]; then both_lenets "$limit" >"$name.log" 2>&1; else timeout -k 5 "$limit" "$program" "$@" >"$name.log" 2>&1; fi
    code=$?
    took=$(($(date +%s) - from))
    echo "run.sh:   exit code $code after $took s"
    printf '%s\t%s\t%s\t%s\t%s\n' "$name" "$title" "$code" "$took" "$(basename "$program") $(echo "$*" | sed "s#$work/##g; s#$bin/##g")" >>items.tsv
    # Logs stay small, whatever a driver says in them.
    if [ "$(wc -c <"$name.log")" -gt 1000000 ]; then head -c 1000000 "$name.log" >cut && mv cut "$name.log"; fi
    write_report
    return 0
}

# Two runs with one seed end in the same bytes.
both_lenets() {
    for run in one two; do
        timeout -k 5 "$(($1 / 2))" "$bin/lenet" --epochs 1 --seed 7 --out "$work/lenet-$run" || return $?
    done
    if cmp "$work/lenet-one/model.safetensors" "$work/lenet-two/model.safetensors"; then
        echo "two runs of LeNet-5 with one seed: equal to the bit"
    else
        echo "two runs of LeNet-5 with one seed: DIFFERENT"
        return 1
    fi
}

{
    cat "$bin/about.txt"
    uname -srm
    date -u '+%Y-%m-%d %H:%M UTC'
    sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1
} >about.txt 2>/dev/null
{
    if command -v nvidia-smi >/dev/null 2>&1; then
        timeout 20 nvidia-smi --query-gpu=name,driver_version,clocks.sm,clocks.mem,clocks.max.sm,clocks.max.mem,power.limit,temperature.gpu,ecc.mode.current --format=csv
        timeout 20 nvidia-smi -q -d CLOCK | grep -A 6 -E '^ *(Clocks|Max Clocks|Applications Clocks)$' | head -n 24
    fi
    for card in /sys/class/drm/card[0-9]; do
        if [ -e "$card/device/pp_dpm_sclk" ]; then echo "$card"; cat "$card/device/pp_dpm_sclk" "$card/device/pp_dpm_mclk"; fi
    done
} >clocks.txt 2>/dev/null

# The first item says whether there is a card at all.
quick=
item 1-adapter 40 "1. Adapter, and what it can do at best" suite peak
kind=$(sed -n 's/.*"device_type": "\([A-Za-z]*\)".*/\1/p' 1-adapter.json 2>/dev/null | head -n 1)
grep -m 1 ' on ' 1-adapter.log
case "$kind" in
    '') echo "run.sh: no adapter could be opened:" >&2; tail -n 3 1-adapter.log >&2; exit 3 ;;
    Cpu)
        [ -n "$software" ] || { echo "run.sh: this is a software adapter, there is nothing to learn of a GPU; --allow-software to go on" >&2; exit 3; }
        quick=--quick ;;
esac
small() { if [ -n "$quick" ]; then echo "$1"; else echo "$2"; fi; }

item 2-products 70 "2. Products by every candidate" suite products --candidates $quick
item 3-lenet5 30 "3. Training steps: LeNet-5" suite steps --network lenet5 --batch 64,256 $quick
item 3-vgg11 25 "3. Training steps: VGG-11" suite steps --network vgg11 --batch "$(small 16 128)" $quick
item 3-resnet18 45 "3. Training steps: ResNet-18" suite steps --network resnet18 --batch "$(small 4 16,128)" $quick
item 3-resnet50 60 "3. Training steps: ResNet-50 at 224" suite steps --network resnet50_224 --batch "$(small 1 4,32)" $quick
item 4-profile-lenet5 20 "4. Profile: LeNet-5" suite profile --network lenet5 --batch 64 $quick
item 4-profile-resnet18 30 "4. Profile: ResNet-18" suite profile --network resnet18 --batch "$(small 4 128)" $quick
item 4-profile-resnet50 40 "4. Profile: ResNet-50 at 224" suite profile --network resnet50_224 --batch "$(small 1 32)" $quick
item 5-golden 40 "5. Right: values from PyTorch" gpu golden
item 5-repeat 40 "5. Right: two runs with one seed" both_lenets
item 5-operations 120 "5. Right: every kernel beside its twin" gpu kernels statistics tiles few winograd vectors widths guard
item 5-accuracy 40 "5. Right: error against f64" suite accuracy --quick
item 6-convolutions 70 "6. Convolutions" suite convolutions --network "$(small lenet5 resnet18,resnet50_224)" --batch "$(small 16 32)" $quick
item 6-layers 30 "6. Layers" suite layers --batch "$(small 16 128)" $quick
if python3 -c 'import torch, torchvision, sys; sys.exit(not torch.cuda.is_available())' >/dev/null 2>&1; then
    for mode in "" --tf32 --f16; do
        item "7-torch-lenet5$mode" 20 "7. PyTorch: LeNet-5 $mode" python3 "$bin/torch_steps.py" lenet5 --batch 64 --device cuda $mode
        item "7-torch-resnet18$mode" 20 "7. PyTorch: ResNet-18 $mode" python3 "$bin/torch_steps.py" resnet18 --batch 128 --device cuda $mode
        item "7-torch-resnet50$mode" 20 "7. PyTorch: ResNet-50 $mode" python3 "$bin/torch_steps.py" resnet50_224 --batch 32 --device cuda $mode
    done
    item 7-torch-vgg11 20 "7. PyTorch: VGG-11" python3 "$bin/torch_steps.py" vgg11 --batch 128 --device cuda
else
    echo "run.sh: python3 has no PyTorch with CUDA here: not compared"
fi
item 8-tuned-resnet18 45 "8. Tuned: ResNet-18" suite steps --tuned --network resnet18 --batch "$(small 4 128)" $quick
item 8-tuned-resnet50 45 "8. Tuned: ResNet-50 at 224" suite steps --tuned --network resnet50_224 --batch "$(small 1 32)" $quick
item 9-epoch 60 "9. An epoch of ResNet-18" suite epoch --network resnet18 --batch "$(small 16 128)" $quick $(small "--images 64" "")
write_report
echo "run.sh: $(($(date +%s) - began)) s; $out/report.md"
