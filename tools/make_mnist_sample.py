"""Make the sample of MNIST that comes with the package, from MNIST itself.

    python tools/make_mnist_sample.py FOLDER [OUTPUT]

takes from MNIST's four files in FOLDER the first 500 images of each digit for training and the first
100 for testing, in the order of the files, writes them to OUTPUT (by default the package's own folder)
and prints the hashes that ``gradcheck/mnist/data.py`` records. It has no random choice in it: who runs it
again gets the same digits.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from gradcheck.mnist import data, idx

# About 1 MB gzipped, little beside the package's dependencies, and enough to train a sensible classifier.
PER_CLASS: Final[dict[data.Split, int]] = {"train": 500, "test": 100}
FILES: Final[dict[data.Split, str]] = {"train": "train", "test": "t10k"}


def first_of_each_class(digits: data.Digits, count: int) -> data.Digits:
    """Keep the first `count` images of each class, in the order they have."""
    places = [np.flatnonzero(digits.labels == label)[:count] for label in range(len(digits.classes))]
    kept = np.sort(np.concatenate(places))
    return replace(digits, images=digits.images[kept], labels=digits.labels[kept])


def main(arguments: list[str]) -> int:
    """Write the sample's four files and print their hashes."""
    if len(arguments) not in (1, 2):
        print(__doc__, file=sys.stderr)
        return 2
    package = Path(__file__).parents[1] / "src" / "gradcheck" / "mnist" / "sample"
    output = Path(arguments[1]) if len(arguments) == 2 else package
    for split, count in PER_CLASS.items():
        sample = first_of_each_class(data.load(split, arguments[0]), count)
        for name, array in (("images-idx3-ubyte", sample.images), ("labels-idx1-ubyte", sample.labels)):
            idx.write(output / f"{FILES[split]}-{name}.gz", array)
            print(f'    "{FILES[split]}-{name}": "{idx.sha256(array)}",')
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
