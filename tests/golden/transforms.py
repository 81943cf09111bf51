#!/usr/bin/env python3
"""Writes transforms.json: what torchvision makes of images, as generate.py writes the rest.

    pip install torch torchvision numpy
    python3 tests/golden/transforms.py

A case with an `output` is one image: its bytes, [height, width, channels], are the low bytes of the words of stream
"transforms/<case>/bytes" of seed 1, its extents attribute `image` [channels, height, width]. It is padded by `padding` black
pixels, `box` (top, left, height, width, in the image without padding) is cut out and resized to the image's own extents,
bilinear and without antialiasing, flipped if `flip`, and then brightness, contrast and saturation are adjusted by `factors`,
in 4096ths. `output` is in bytes. Everything is done in float64 on images of 0 to 1.

A case with `shares` is RandomResizedCrop.get_params over many draws for an image of `image` [height, width], with `scale` and
`ratio`: `area` and `aspect` are mean and standard deviation of the box's share of the area and of the logarithm of its width
over its height, `centre` those of the box's middle from top to bottom as a share of the height, `whole` how often the box was
as high as the image; `draws` is how many.
"""

import numpy as np
import torch
import torchvision.transforms.v2.functional as V
from torchvision.transforms import InterpolationMode, RandomResizedCrop

from generate import check_philox, first_words, number, tensor, write

DRAWS = 40_000


def image(case):
    name, (channels, height, width) = case["name"], case["image"]
    bytes_ = (first_words(f"transforms/{name}/bytes", channels * height * width) & np.uint64(255)).astype(np.float64)
    x = torch.from_numpy(bytes_.reshape(height, width, channels)).permute(2, 0, 1) / 255
    x = V.pad(x, [case["padding"]] * 4)
    top, left, rows, columns = case["box"]
    x = V.crop(x, top + case["padding"], left + case["padding"], rows, columns)
    if [rows, columns] != [height, width]:
        x = V.resize(x, [height, width], InterpolationMode.BILINEAR, antialias=False)
    if case["flip"]:
        x = V.horizontal_flip(x)
    brightness, contrast, saturation = (factor / 4096 for factor in case["factors"])
    x = V.adjust_saturation(V.adjust_contrast(V.adjust_brightness(x, brightness), contrast), saturation)
    return x * 255


def images():
    def case(name, image, box=None, padding=0, flip=False, factors=(4096, 4096, 4096)):
        box = box or [0, 0, *image[1:]]
        return {"name": name, "image": image, "box": box, "padding": padding, "flip": flip, "factors": list(factors)}

    small, wide, gray = [3, 8, 9], [3, 5, 12], [1, 9, 8]
    return [
        case("as it is", small),
        case("crop in the padding", small, [-3, 2, 8, 9], 4, True),
        case("box", small, [1, 2, 5, 6]),
        case("box, flipped", wide, [0, 4, 3, 7], flip=True),
        case("box of one pixel", small, [7, 8, 1, 1]),
        case("box of one row", wide, [2, 0, 1, 12]),
        case("box, gray", gray, [3, 1, 4, 7], flip=True),
        case("brighter", small, factors=(5700, 4096, 4096)),
        case("darker", small, factors=(2500, 4096, 4096)),
        case("black", small, factors=(0, 4096, 4096)),
        case("more contrast", small, factors=(4096, 5700, 4096)),
        case("no contrast", small, factors=(4096, 0, 4096)),
        case("more contrast, gray", gray, factors=(4096, 5000, 4096)),
        case("more saturation", small, factors=(4096, 4096, 5700)),
        case("no saturation", wide, factors=(4096, 4096, 0)),
        case("saturation, gray", gray, factors=(4096, 4096, 1000)),
        case("all", wide, [1, 3, 4, 7], flip=True, factors=(3000, 5200, 4700)),
        case("all, the other way", small, [0, 1, 6, 8], factors=(5300, 3100, 2700)),
        case("all after a crop in the padding", small, [2, -3, 8, 9], 3, False, (5000, 3500, 5500)),
        case("all, gray", gray, [2, 0, 5, 5], flip=True, factors=(4500, 5500, 9)),
    ]


def crops():
    plan = [
        ("crops of a square", [224, 224], (0.08, 1.0), (3 / 4, 4 / 3)),
        ("crops of 32 pixels", [32, 32], (0.08, 1.0), (3 / 4, 4 / 3)),
        ("crops of a small share", [200, 300], (0.1, 0.4), (0.5, 2.0)),
        ("crops that never fit, too wide", [40, 200], (0.9, 1.0), (0.5, 1.0)),
        ("crops that never fit, too high", [200, 30], (0.9, 1.0), (0.5, 1.0)),
        ("crops that seldom fit", [100, 120], (0.7, 1.0), (0.5, 1.5)),
    ]
    cases = []
    torch.manual_seed(1)
    for name, (height, width), scale, ratio in plan:
        blank = torch.zeros(1, height, width)
        boxes = torch.tensor([RandomResizedCrop.get_params(blank, scale, ratio) for _ in range(DRAWS)]).double()
        top, _, rows, columns = boxes.T
        moments = lambda x: [number(x.mean()), number(x.std(unbiased=False))]
        cases.append(
            {
                "name": name, "image": [height, width], "scale": scale, "ratio": ratio, "draws": DRAWS, "shares": True,
                "area": moments(rows * columns / (height * width)),
                "aspect": moments((columns / rows).log()),
                "centre": moments((top + rows / 2) / height),
                "whole": number((rows == height).double().mean()),
            }
        )
    return cases


if __name__ == "__main__":
    check_philox()
    cases = images()
    write("transforms", [{**case, "output": tensor(image(case), f"transforms/{case['name']}")} for case in cases] + crops())
