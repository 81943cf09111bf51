#!/usr/bin/env python3
"""Compiles every kernel of the training plans for four devices with Microsoft's DXC: shader model 6.0, and what wgpu passes.

    python3 scripts/check_dxc.py            # cargo writes the kernels first
    python3 scripts/check_dxc.py FOLDER     # kernels that lie there already

wgpu's DX12 backend hands the HLSL that naga writes to DXC or FXC; what they refuse fails on the machine of whoever has such a
card. This runs on Linux and needs no card: the source distribution of compushady (PyPI) carries DXC's library, which is kept
in the user's cache folder. Names each kernel that is refused, with DXC's message, and then ends with 1; with 2 if the check
could not be made.
"""

import ctypes
import json
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import uuid
from pathlib import Path

RELEASE = "compushady==0.17.5"

# From dxcapi.h: the compiler's class and the interfaces that are used of it.
CLSID_COMPILER = "73e22d93-e6ce-47f3-b5bf-f0664f39c1b0"
IID_COMPILER3 = "228b4687-5a6a-4730-900c-9702b2203f54"
IID_RESULT = "58346cda-dde7-4497-9461-6f87af5e0659"

# What wgpu-hal 30 adds to entry point and profile; naga writes HLSL 2018.
ARGUMENTS = ["-HV", "2018", "-no-warnings", "-Ges"]

# Where a method stands in the table of an object: IUnknown takes five places on Linux, for its destructor takes two.
COMPILE, STATUS, ERRORS, POINTER, SIZE, RELEASE_OBJECT = 5, 5, 7, 5, 6, 2

# What it says of every kernel on a machine that can't sign them.
UNSIGNED = "warning: DXIL.dll not found."

# A type that no HLSL has: a compiler that accepts this one checks nothing.
WRONG = "RWByteAddressBuffer data : register(u0);\n[numthreads(64, 1, 1)]\nvoid main() { vector8 x = 1.0; data.Store(0, x); }\n"


def give_up(message):
    print(f"check_dxc.py: {message}", file=sys.stderr)
    sys.exit(2)


def library():
    """DXC's library of this machine's kind, from the cache or from PyPI."""
    kind = {"x86_64": "x86_64", "AMD64": "x86_64", "aarch64": "aarch64"}.get(platform.machine())
    if platform.system() != "Linux" or kind is None:
        give_up(f"SKIPPED, for DXC's library is known for Linux on x86-64 and AArch64 only, this is {platform.platform()}")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tilegrad" / RELEASE.replace("==", "-")
    path = cache / f"libdxcompiler_{kind}.so.3.7"
    if path.exists():
        return path
    print(f"fetching {RELEASE} (67 MB) for its DXC", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        pip = [sys.executable, "-m", "pip"]
        if subprocess.run([*pip, "--version"], capture_output=True).returncode != 0:
            # Debian's Python comes without pip, but can make an environment that has it.
            subprocess.run(["apt-get", "install", "-y", "-qq", "python3-venv"], check=False)
            subprocess.run([sys.executable, "-m", "venv", f"{folder}/venv"], check=True)
            pip = [f"{folder}/venv/bin/python", "-m", "pip"]
        done = subprocess.run([*pip, "download", "-q", "--no-deps", "--no-binary", ":all:", "-d", folder, RELEASE])
        found = list(Path(folder).glob("compushady-*.tar.gz"))
        if done.returncode != 0 or not found:
            give_up(f"pip could not fetch {RELEASE}")
        cache.mkdir(parents=True, exist_ok=True)
        with tarfile.open(found[0]) as archive:
            member = next((m for m in archive if m.name.endswith("/" + path.name)), None)
            if member is None:
                give_up(f"{found[0].name} has no {path.name}")
            # Whole or not at all.
            part = path.with_suffix(".part")
            with archive.extractfile(member) as source, open(part, "wb") as target:
                shutil.copyfileobj(source, target)
            part.rename(path)
    return path


class Buffer(ctypes.Structure):
    """DxcBuffer."""

    _fields_ = [("pointer", ctypes.c_char_p), ("size", ctypes.c_size_t), ("encoding", ctypes.c_uint32)]


def method(thing, index, result, *types):
    """The method at that place of a COM object's table."""
    table = ctypes.cast(thing, ctypes.POINTER(ctypes.POINTER(ctypes.c_void_p))).contents
    call = ctypes.CFUNCTYPE(result, ctypes.c_void_p, *types)(table[index])
    return lambda *arguments: call(thing, *arguments)


def guid(text):
    return ctypes.create_string_buffer(uuid.UUID(text).bytes_le, 16)


class Dxc:
    """The compiler."""

    def __init__(self, path):
        create = ctypes.CDLL(str(path)).DxcCreateInstance
        self.compiler = ctypes.c_void_p()
        status = create(guid(CLSID_COMPILER), guid(IID_COMPILER3), ctypes.byref(self.compiler))
        if status != 0:
            give_up(f"{path} makes no compiler: status {status & 0xFFFFFFFF:#x}")
        pointers = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint32, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p]
        self.compile = method(self.compiler, COMPILE, ctypes.c_int32, *pointers)

    def fault(self, source, entry):
        """What the compiler has against the source, or None."""
        arguments = ["-E", entry, "-T", "cs_6_0", *ARGUMENTS]
        strings = (ctypes.c_wchar_p * len(arguments))(*arguments)
        code = source.encode()
        buffer = Buffer(code, len(code), 65001)  # UTF-8
        result = ctypes.c_void_p()
        status = self.compile(
            ctypes.byref(buffer), strings, len(arguments), None, guid(IID_RESULT), ctypes.byref(result)
        )
        if status != 0:
            return f"the compiler fails with status {status & 0xFFFFFFFF:#x}"
        compiled, errors = ctypes.c_int32(), ctypes.c_void_p()
        method(result, STATUS, ctypes.c_int32, ctypes.c_void_p)(ctypes.byref(compiled))
        method(result, ERRORS, ctypes.c_int32, ctypes.c_void_p)(ctypes.byref(errors))
        text = ""
        if errors:
            pointer = method(errors, POINTER, ctypes.c_void_p)()
            text = ctypes.string_at(pointer, method(errors, SIZE, ctypes.c_size_t)()).decode(errors="replace")
            method(errors, RELEASE_OBJECT, ctypes.c_uint32)()
        method(result, RELEASE_OBJECT, ctypes.c_uint32)()
        lines = [line for line in text.rstrip("\0").splitlines() if line.strip() and not line.startswith(UNSIGNED)]
        text = "\n".join(lines)
        # wgpu takes any text for a fault, and so does this.
        return text or f"status {compiled.value & 0xFFFFFFFF:#x}" if text or compiled.value != 0 else None


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
    dxc = Dxc(library())
    if dxc.fault(WRONG, "main") is None:
        give_up("DXC accepts a kernel that is wrong on purpose, so its word means nothing")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(sys.argv[1] if len(sys.argv) > 1 else temporary)
        if len(sys.argv) < 2:
            emitted(folder)
        kernels = json.loads((folder / "manifest.json").read_text())["kernels"]
        began, refused = time.monotonic(), 0
        for kernel in kernels:
            fault = dxc.fault((folder / f"{kernel['file']}.hlsl").read_text(), kernel["hlsl_entry"])
            if fault is not None:
                refused += 1
                print(f"REFUSED {kernel['file']} ({kernel['label']}; {', '.join(kernel['networks'])}):\n{fault}\n")
        seconds = time.monotonic() - began
        print(f"DXC, cs_6_0: {len(kernels) - refused} of {len(kernels)} kernels accepted, in {seconds:.0f} s")
        if not kernels:
            give_up(f"{folder} has no kernels")
        sys.exit(1 if refused else 0)


if __name__ == "__main__":
    main()
