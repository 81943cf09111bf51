"""Images a second of torchvision's ImageFolder with Resize and CenterCrop in a DataLoader with workers.

    python3 benches/peers/images.py DIR [SIDE] [WORKERS]

Without torch and torchvision the same steps run in Pillow (open, convert, resize, crop) in as many processes, without
the tensors and queues of a DataLoader: that is the least that torchvision can take. Compare with
TILEGRAD_IMAGE_FOLDER=DIR cargo test --release --test host a_real_folder -- --nocapture, on the same machine in one run.
"""

import multiprocessing
import pathlib
import sys
import time

from PIL import Image


def fit(path, side):
    """What ImageFolder, Resize(side) and CenterCrop(side) do."""
    with open(path, "rb") as file:
        image = Image.open(file).convert("RGB")
    width, height = image.size
    short, long = min(width, height), max(width, height)
    scaled = int(side * long / short)
    image = image.resize((side, scaled) if width <= height else (scaled, side), Image.BILINEAR)
    left, top = round((image.width - side) / 2), round((image.height - side) / 2)
    return len(image.crop((left, top, left + side, top + side)).tobytes())


def torchvision_rate(folder, side, workers):
    import torch
    from torchvision import datasets, transforms

    steps = transforms.Compose([transforms.Resize(side), transforms.CenterCrop(side), transforms.PILToTensor()])
    data = datasets.ImageFolder(folder, steps)
    loader = torch.utils.data.DataLoader(data, batch_size=64, num_workers=workers)
    began = time.time()
    count = sum(len(labels) for _, labels in loader)
    return count / (time.time() - began)


def pillow_rate(folder, side, workers):
    paths = [path for path in sorted(pathlib.Path(folder).rglob("*")) if path.is_file()]
    with multiprocessing.Pool(workers) as pool:
        pool.starmap(fit, [(paths[0], side)] * workers)
        began = time.time()
        pool.starmap(fit, [(path, side) for path in paths], chunksize=32)
        return len(paths) / (time.time() - began)


if __name__ == "__main__":
    folder = sys.argv[1]
    side, workers = (int(sys.argv[i]) if len(sys.argv) > i else default for i, default in ((2, 224), (3, 2)))
    try:
        print(f"torchvision, {workers} workers: {torchvision_rate(folder, side, workers):.0f} images/s")
    except ImportError:
        print(f"Pillow alone, {workers} processes: {pillow_rate(folder, side, workers):.0f} images/s")
