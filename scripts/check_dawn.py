#!/usr/bin/env python3
"""Makes a module and a pipeline of every kernel of the training plans for four devices with Dawn, the WebGPU of Chromium.

    python3 scripts/check_dawn.py            # cargo writes the kernels first
    python3 scripts/check_dawn.py FOLDER     # kernels that lie there already

Dawn's compiler, Tint, is the other implementation of WGSL, and checks what naga does not, that every invocation of a workgroup
reaches every barrier for one. Chromium runs without a window on SwiftShader, which it brings, so this needs no card: a page
served on this machine compiles the kernels and sends back what Dawn said. Names each kernel that is refused or warned of, with
Tint's message, and then ends with 1; with 2 if the check could not be made. CHROMIUM names another browser than the first of
chromium, chromium-browser and google-chrome that is there; Debian's is installed where there is none.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

BROWSERS = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]

# Without a window, a GPU, or anything that asks the network.
FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu-sandbox",
    "--enable-unsafe-webgpu",
    "--use-webgpu-adapter=swiftshader",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--disable-dev-shm-usage",
]

# Seconds for all of it, and for one kernel beyond the one before.
LONGEST, SILENCE = 900, 180

# Not every invocation comes to this barrier: a compiler that takes it checks nothing.
WRONG = """
@group(0) @binding(0) var<storage, read_write> data: array<u32>;
@compute @workgroup_size(64) fn main(@builtin(local_invocation_index) local: u32) {
    if (data[local] > 3u) { workgroupBarrier(); }
    data[local] = local;
}
"""

PAGE = """<!doctype html><meta charset="utf-8"><title>kernels</title><script>
const say = (what) => fetch("/said", { method: "POST", body: JSON.stringify(what) });
async function faults(device, text, entryPoint) {
    const found = [];
    device.pushErrorScope("validation");
    device.pushErrorScope("internal");
    const module = device.createShaderModule({ code: text });
    const info = await module.getCompilationInfo();
    for (const m of info.messages) found.push(`${m.type} ${m.lineNum}:${m.linePos} ${m.message}`);
    try {
        await device.createComputePipelineAsync({ layout: "auto", compute: { module, entryPoint } });
    } catch (error) {
        found.push(`pipeline: ${error.reason ?? ""} ${error.message}`);
    }
    for (let i = 0; i < 2; i++) {
        const error = await device.popErrorScope();
        if (error) found.push(error.message);
    }
    return found;
}
async function all() {
    if (!navigator.gpu) throw new Error("the page has no navigator.gpu");
    const adapter = await navigator.gpu.requestAdapter();
    if (!adapter) throw new Error("there is no WebGPU adapter");
    const requiredLimits = {};
    for (const name of ["maxComputeWorkgroupStorageSize", "maxComputeInvocationsPerWorkgroup", "maxComputeWorkgroupSizeX",
        "maxStorageBuffersPerShaderStage"]) requiredLimits[name] = adapter.limits[name];
    const requiredFeatures = ["subgroups"].filter((feature) => adapter.features.has(feature));
    const device = await adapter.requestDevice({ requiredFeatures, requiredLimits });
    device.lost.then((lost) => say({ failure: `the device was lost: ${lost.message}` }));
    const { vendor, architecture, device: name, description } = adapter.info;
    await say({ adapter: [vendor, architecture, name, description].filter((part) => part).join(" "), features: requiredFeatures });
    for (const kernel of await (await fetch("/kernels")).json()) {
        if (kernel.subgroups && !device.features.has("subgroups")) await say({ file: kernel.file, skipped: true });
        else await say({ file: kernel.file, faults: await faults(device, kernel.text, kernel.entry) });
    }
    await say({ end: true });
}
all().catch((error) => say({ failure: String(error) }));
</script>"""


def give_up(message):
    print(f"check_dawn.py: {message}", file=sys.stderr)
    sys.exit(2)


def browser():
    """The browser's path; installs Debian's where there is none."""
    named = os.environ.get("CHROMIUM")
    if named:
        return shutil.which(named) or give_up(f"CHROMIUM names {named}, which is not there")
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None and shutil.which("apt-get"):
        print("installing chromium", flush=True)
        root = [] if os.geteuid() == 0 else ["sudo"]
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run([*root, "apt-get", "update", "-qq"], env=environment, check=False)
        subprocess.run([*root, "apt-get", "install", "-y", "-qq", "chromium"], env=environment, check=False)
        found = shutil.which("chromium")
    return found or give_up("SKIPPED, for there is no Chromium: install it, or name it by CHROMIUM")


class Said:
    """What the page has said so far."""

    def __init__(self):
        self.messages, self.last, self.changed = [], time.monotonic(), threading.Condition()

    def add(self, message):
        with self.changed:
            self.messages.append(message)
            self.last = time.monotonic()
            self.changed.notify_all()

    def over(self):
        return any("end" in message or "failure" in message for message in self.messages)

    def wait(self, running):
        """Until the page is through; the reason if it is not."""
        began = time.monotonic()
        with self.changed:
            while not self.over():
                self.changed.wait(1)
                now = time.monotonic()
                if not self.over() and not running():
                    return "the browser has ended"
                if now - began > LONGEST or now - self.last > SILENCE:
                    return f"the page is silent after {now - began:.0f} s and {len(self.messages)} messages"
        return next((message["failure"] for message in self.messages if "failure" in message), None)


def server(kernels, said):
    """Serves the page and takes what it says."""
    files = {"/": ("text/html", PAGE), "/kernels": ("application/json", json.dumps(kernels))}

    class Handler(BaseHTTPRequestHandler):
        def answer(self, status, kind="text/plain", text=""):
            data = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def do_GET(self):
            self.answer(200, *files[self.path]) if self.path in files else self.answer(404)

        def do_POST(self):
            said.add(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.answer(200)

        def log_message(self, *_):
            pass

    made = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=made.serve_forever, daemon=True).start()
    return made


def compile_all(path, kernels):
    """What Dawn says of each kernel, by file, and of itself."""
    said = Said()
    served = server(kernels, said)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        log = Path(profile) / "log"
        address = f"http://127.0.0.1:{served.server_port}/"
        with open(log, "w") as output:
            # A group of its own, since a browser is many processes.
            process = subprocess.Popen(
                [path, *FLAGS, f"--user-data-dir={profile}/user", address],
                stdout=output, stderr=output, stdin=subprocess.DEVNULL, start_new_session=True,
            )
        try:
            failure = said.wait(lambda: process.poll() is None)
        finally:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.wait()
            served.shutdown()
        if failure:
            # What the browser itself has to say; most of it is about what a machine without a window lacks.
            print(log.read_text(errors="replace")[-3000:], file=sys.stderr)
            give_up(failure)
    by_file = {message["file"]: message for message in said.messages if "file" in message}
    return by_file, next(message for message in said.messages if "adapter" in message)


def emitted(folder):
    """Lets cargo write the kernels."""
    root = Path(__file__).resolve().parent.parent
    command = ["cargo", "test", "-q", "--test", "compilers", "emit"]
    done = subprocess.run(command, cwd=root, env={**os.environ, "TILEGRAD_EMIT": str(folder)}, stdout=subprocess.DEVNULL)
    if done.returncode != 0:
        give_up(f"{' '.join(command)} failed")


def main():
    if len(sys.argv) > 2 or sys.argv[1:2] in (["-h"], ["--help"]):
        print(__doc__)
        sys.exit(0)
    path = browser()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(sys.argv[1] if len(sys.argv) > 1 else temporary)
        if len(sys.argv) < 2:
            emitted(folder)
        kernels = json.loads((folder / "manifest.json").read_text())["kernels"]
        if not kernels:
            give_up(f"{folder} has no kernels")
        sent = [{"file": "wrong on purpose", "text": WRONG, "entry": "main", "subgroups": False}]
        for kernel in kernels:
            text = (folder / f"{kernel['file']}.wgsl").read_text()
            sent.append({**{key: kernel[key] for key in ("file", "entry", "subgroups")}, "text": text})
        began = time.monotonic()
        said, adapter = compile_all(path, sent)
    if not said["wrong on purpose"]["faults"]:
        give_up("Dawn accepts a kernel that is wrong on purpose, so its word means nothing")
    refused, skipped = 0, 0
    for kernel in kernels:
        answer = said[kernel["file"]]
        if answer.get("skipped"):
            skipped += 1
            print(f"SKIPPED {kernel['file']} ({kernel['label']}): this adapter has no subgroups")
        elif answer["faults"]:
            refused += 1
            print(f"REFUSED {kernel['file']} ({kernel['label']}; {', '.join(kernel['networks'])}):")
            print("\n".join(answer["faults"]) + "\n")
    version = subprocess.run([path, "--version"], capture_output=True, text=True).stdout.strip()
    checked = len(kernels) - skipped
    print(f"{version}, {adapter['adapter']}")
    print(f"Dawn: {checked - refused} of {checked} kernels accepted, in {time.monotonic() - began:.0f} s")
    sys.exit(1 if refused else 0)


if __name__ == "__main__":
    main()
