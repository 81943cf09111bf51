"""Image files as Pillow reads and scales them.

Without arguments: writes images.json beside this script, a few small files of every kind with the pixels that Pillow
decodes (exif_transpose, then RGB or L) and those pixels scaled by BILINEAR. With a folder: writes 200 random files there,
each with its pixels (.raw) and scaled pixels (.scaled), and index.json. Then TILEGRAD_PILLOW_IMAGES=FOLDER
cargo test --test host two_hundred -- --nocapture compares them.
"""

import io
import json
import pathlib
import sys

import numpy as np
from PIL import Image, ImageOps

HERE = pathlib.Path(__file__).parent
TIFF = ["raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"]


def picture(rng, height, width, mode):
    """Smooth colours with some noise, as photos are."""
    y, x = np.mgrid[0:height, 0:width]
    waves = [np.sin(x / rng.uniform(3, 40) + y / rng.uniform(3, 40) + rng.uniform(0, 6)) for _ in range(4)]
    pixels = np.stack([127 + 90 * wave for wave in waves], -1) + rng.normal(0, 8, (height, width, 4))
    pixels = np.clip(pixels, 0, 255).astype(np.uint8)
    bands = {"L": 1, "RGB": 3, "RGBA": 4, "CMYK": 4, "LA": 2}.get(mode)
    if bands:
        return Image.fromarray(pixels[:, :, :bands].squeeze() if bands == 1 else pixels[:, :, :bands], mode)
    if mode == "I;16":
        return Image.fromarray(pixels[:, :, 0].astype(np.uint16) * 256 + pixels[:, :, 1])
    if mode == "P":
        return Image.fromarray(pixels[:, :, :3], "RGB").quantize(int(rng.integers(2, 257)))
    return Image.fromarray(pixels[:, :, 0], "L").convert(mode)  # "1"


def encode(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def orientation(number):
    exif = Image.Exif()
    exif[274] = number
    return exif


def decode(file):
    image = Image.open(io.BytesIO(file))
    gray = image.mode in ("L", "LA", "1", "I;16", "I", "I;16B")
    deep = image.mode.startswith("I")
    image.load()
    image = ImageOps.exif_transpose(image)
    if deep:
        image = Image.fromarray(((np.asarray(image).astype(np.int64) + 128) // 257).astype(np.uint8), "L")
    return image.convert("L" if gray else "RGB")


def raw(image):
    return np.asarray(image).tobytes()


def random_case(rng, i):
    height, width = (int(n) for n in rng.integers(1, 300, 2))
    kind = ["JPEG", "JPEG", "PNG", "PNG", "BMP", "WEBP", "TIFF", "GIF", "PPM"][i % 9]
    modes = {
        "JPEG": ["L", "RGB", "RGB", "CMYK"],
        "PNG": ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"],
        "BMP": ["1", "L", "P", "RGB", "RGBA"],
        "WEBP": ["L", "RGB", "RGBA"],
        "TIFF": ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"],
        "GIF": ["L", "P", "RGB"],
        "PPM": ["1", "L", "RGB", "I;16"],
    }[kind]
    mode = str(rng.choice(modes))
    options = {}
    if kind == "JPEG":
        options = {"quality": int(rng.integers(30, 100)), "progressive": bool(rng.integers(2)), "optimize": bool(rng.integers(2))}
        if mode == "RGB":
            options["subsampling"] = int(rng.integers(3))
        if rng.integers(2):
            options["restart_marker_blocks"] = int(rng.integers(1, 20))
    if kind == "WEBP":
        options = {"lossless": bool(rng.integers(2)), "quality": int(rng.integers(30, 100))}
    if kind == "TIFF":
        options = {"compression": str(rng.choice(TIFF))}
    if kind in ("JPEG", "PNG", "WEBP", "TIFF") and rng.integers(2):
        options["exif"] = orientation(int(rng.integers(1, 9)))
    return kind, mode, encode(picture(rng, height, width, mode), kind, **options)


def scaled(rng, image):
    """The image scaled to a random size, as stored in `to`."""
    height, width = (int(n) for n in rng.integers(1, 230, 2))
    return [height, width], raw(image.resize((width, height), Image.BILINEAR))


def random_files(folder):
    rng = np.random.default_rng(1)
    folder.mkdir(parents=True, exist_ok=True)
    index = []
    for i in range(200):
        kind, mode, file = random_case(rng, i)
        image = decode(file)
        to, small = scaled(rng, image)
        # The ending says nothing of the content.
        name = f"{i:03}.jpg"
        (folder / name).write_bytes(file)
        (folder / f"{i:03}.raw").write_bytes(raw(image))
        (folder / f"{i:03}.scaled").write_bytes(small)
        size = [image.height, image.width, len(image.getbands())]
        index.append({"name": name, "kind": f"{kind} {mode}", "size": size, "to": to})
    (folder / "index.json").write_text(json.dumps(index))


def committed():
    rng = np.random.default_rng(2)
    make = lambda mode: picture(rng, 22, 17, mode)
    files = {f"orientation {n}": encode(make("RGB"), "JPEG", quality=90, exif=orientation(n)) for n in range(1, 9)}
    files |= {f"png orientation {n}": encode(make("L"), "PNG", exif=orientation(n)) for n in (3, 5, 6)}
    files |= {
        "progressive": encode(make("RGB"), "JPEG", quality=85, progressive=True),
        "restarts": encode(make("RGB"), "JPEG", quality=85, restart_marker_blocks=1),
        "whole colour": encode(make("RGB"), "JPEG", quality=85, subsampling=0),
        "gray jpeg": encode(make("L"), "JPEG"),
        "cmyk": encode(make("CMYK"), "JPEG", quality=95),
        "palette": encode(make("P"), "PNG"),
        "palette with transparency": encode(make("P"), "PNG", transparency=1),
        "gray with a transparent value": encode(make("L"), "PNG", transparency=7),
        "bits": encode(make("1"), "PNG"),
        "gray and alpha": encode(make("LA"), "PNG"),
        "alpha": encode(make("RGBA"), "PNG"),
        "sixteen bits": encode(make("I;16"), "PNG"),
        "apng": encode(make("RGB"), "PNG", save_all=True, append_images=[make("RGB")]),
        "bmp palette": encode(make("P"), "BMP"),
        "bmp": encode(make("RGB"), "BMP"),
        "webp": encode(make("RGB"), "WEBP", quality=80, exif=orientation(6)),
        "webp lossless": encode(make("RGBA"), "WEBP", lossless=True, exact=True),
        "tiff lzw": encode(make("RGB"), "TIFF", compression="tiff_lzw", exif=orientation(8)),
        "tiff palette": encode(make("P"), "TIFF"),
        "tiff bits": encode(make("1"), "TIFF", compression="group4"),
        "gif": encode(make("P"), "GIF"),
        "gif with a transparent colour": encode(make("P"), "GIF", transparency=1),
        "gif of two": encode(make("P"), "GIF", save_all=True, append_images=[make("P")]),
        "pbm": encode(make("1"), "PPM"),
        "pgm": encode(make("L"), "PPM"),
        "ppm": encode(make("RGB"), "PPM"),
    }
    cases = []
    for name, file in files.items():
        image = decode(file)
        to, small = [11, 13], raw(image.resize((13, 11), Image.BILINEAR))
        size = [image.height, image.width, len(image.getbands())]
        cases.append({"name": name, "file": file.hex(), "size": size, "pixels": raw(image).hex(), "to": to, "scaled": small.hex()})
    (HERE / "images.json").write_text("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n")


if len(sys.argv) > 1:
    random_files(pathlib.Path(sys.argv[1]))
else:
    committed()
