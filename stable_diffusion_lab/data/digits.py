"""The 8x8 digits that ship with scikit-learn."""

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from stable_diffusion_lab.bounds import NonNegativeInt
from stable_diffusion_lab.data.base import Data, Split


class Digits(Data):
    """1,797 scanned digits (Alpaydin & Kaynak 1998), split 60/20/20 with the same share of each class.

    Needs no download. The split is fixed: it does not depend on the run's seed.

    Args:
        name: short name for logs and folders.
        shape: ``(1, 8, 8)``.
        classes: of the labels: ten.
    """

    def __init__(
        self, name: str = "digits", shape: tuple[int, ...] = (1, 8, 8), classes: NonNegativeInt = 10
    ) -> None:
        digits = load_digits()
        images = torch.from_numpy((digits.images * (255 / 16)).round()).to(torch.uint8)[:, None]
        labels = torch.from_numpy(digits.target).long()
        train, rest = train_test_split(range(len(labels)), test_size=0.4, stratify=labels, random_state=0)
        validation, test = train_test_split(rest, test_size=0.5, stratify=labels[rest], random_state=0)
        parts = (Split(images[i], labels[i]) for i in (train, validation, test))
        super().__init__(name, shape, *parts, classes=classes)
