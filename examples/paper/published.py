"""The figures of the paper (Wang et al., Neural Networks 174:106244, 2024), as printed: accuracies in %, None
where there is none.

Its own rows are called PAPER. Figures 4, 7, 8 and 9 are pictures; what its text says of them in numbers
stands in FIGURES.
"""

from __future__ import annotations

from typing import Any

PAPER = "DNISNM (the paper)"
T2 = (2, 4, 8, 16, 32)

# Methods, range of application, accuracy of VGG-16 on CIFAR-10 at T = 32.
TABLE1: dict[str, tuple[str, float]] = {
    "Han et al. 2020": ("ReLU", 60.3),
    "Ding et al. 2021": ("Rate Norm", 85.4),
    "Bu et al. 2022": ("Trainable-Clip Layer", 94.2),
    "Deng and Gu 2021": ("Shifted ReLU", 88.79),
    "Li, Deng et al. 2021": ("Shifted ReLU", 94.81),
    "Bu et al. 2023": ("QCFS activation", 95.54),
    PAPER: ("ReLU", 95.68),
}


def _row(ann: float, *accuracies: float | None) -> dict[str, Any]:
    return {"ann": ann, "snn": dict(zip(map(str, T2), accuracies, strict=True))}


# {network on data: {method: {"ann", "snn": {T: accuracy}}}}
TABLE2: dict[str, dict[str, dict[str, Any]]] = {
    "VGG-16 on CIFAR-10": {
        "Han et al. 2020": _row(93.63, None, None, None, None, 60.30),
        "Deng and Gu 2021": _row(95.72, None, None, None, None, 88.79),
        "Ding et al. 2021": _row(92.82, None, None, None, 57.90, 85.40),
        "Bu et al. 2022": _row(94.57, None, None, 90.96, 93.38, 94.20),
        "Li et al. 2022": _row(95.60, None, 86.57, 91.41, 93.64, 94.81),
        "Bu et al. 2023": _row(95.52, 91.18, 93.96, 94.95, 95.40, 95.54),
        PAPER: _row(95.67, 90.17, 94.14, 95.14, 95.45, 95.68),
    },
    "ResNet-18 on CIFAR-10": {
        "Deng and Gu 2021": _row(95.46, None, None, None, None, 84.06),
        "Ding et al. 2021": _row(93.06, None, None, None, 47.63, 83.95),
        "Bu et al. 2022": _row(96.04, None, None, 75.44, 90.43, 91.88),
        "Li et al. 2022": _row(96.72, None, 84.70, 92.98, 95.51, 96.45),
        "Bu et al. 2023": _row(96.04, 75.44, 90.43, 94.82, 95.92, 96.08),
        PAPER: _row(96.47, 76.69, 89.40, 94.57, 96.19, 96.46),
    },
    "VGG-16 on CIFAR-100": {
        "Han et al. 2020": _row(71.22, None, None, None, None, 63.76),
        "Deng and Gu 2021": _row(77.89, None, None, None, None, 7.64),
        "Bu et al. 2022": _row(76.31, None, None, 60.49, 70.72, 74.82),
        "Li et al. 2022": _row(77.93, None, 55.60, 64.13, 72.23, 75.53),
        "Bu et al. 2023": _row(76.28, 63.79, 69.62, 73.96, 76.24, 77.01),
        PAPER: _row(77.29, 64.89, 73.58, 76.35, 77.22, 77.47),
    },
    "ResNet-18 on CIFAR-100": {
        "Deng and Gu 2021": _row(77.16, None, None, None, None, 51.27),
        "Bu et al. 2022": _row(79.36, None, None, 57.70, 72.85, 77.86),
        "Li et al. 2022": _row(81.51, None, 54.96, 71.86, 78.13, 80.56),
        "Bu et al. 2023": _row(78.80, 70.79, 75.67, 78.48, 79.48, 79.62),
        PAPER: _row(79.22, 55.48, 62.00, 74.24, 78.47, 79.10),
    },
}

# (model, type, network, accuracy, T). The caption says CIFAR-100; the figures are those of CIFAR-10 in Table
# 2.
TABLE3: tuple[tuple[str, str, str, float, int], ...] = (
    ("Wu et al. 2018", "backpropagation", "CIFARNet", 90.53, 12),
    ("Zhang and Li 2020", "backpropagation", "CIFARNet", 91.41, 5),
    ("Rathi and Roy 2021", "backpropagation", "VGG-16", 92.70, 5),
    (PAPER, "conversion", "VGG-16", 94.14, 4),
    ("Zheng et al. 2021", "backpropagation", "ResNet-19", 93.16, 6),
    ("Li, Guo et al. 2021", "backpropagation", "ResNet-18", 94.25, 6),
    (PAPER, "conversion", "ResNet-18", 93.21, 6),
)


def _errors(ann: float, *errors: float | None) -> dict[str, Any]:
    return {"ann": ann, "error": dict(zip(("32", "64", "128", "256"), errors, strict=True))}


# ImageNet, VGG-16: accuracy of the ANN, and by how many points the SNN is below it.
TABLE4: dict[str, dict[str, Any]] = {
    "Rathi et al. 2020": _errors(69.35, None, None, None, 6.62),
    "Ding et al. 2021": _errors(73.49, None, None, None, 25.17),
    "Han et al. 2020": _errors(73.49, None, None, None, 3.78),
    "Bu et al. 2022": _errors(74.85, 10.15, 2.38, 0.61, 0.23),
    "Li et al. 2022": _errors(75.36, 6.32, 2.84, 1.25, 0.61),
    "Bu et al. 2023": _errors(74.29, 5.82, 1.44, 0.32, 0.07),
    PAPER: _errors(73.22, 3.96, 1.19, 0.28, 0.12),
}


def _energy(
    operations: float, rate: float, accuracy: float, accuracy_drop: float, energy_drop: float
) -> dict[str, float]:
    """operations: of the SNN, in millions. Drops in % of the ANN's."""
    return {
        "operations_snn_million": operations,
        "firing_rate": rate,
        "accuracy_snn": accuracy,
        "accuracy_drop": accuracy_drop,
        "energy_drop": energy_drop,
    }


# {data: {"operations_ann_million", "accuracy_ann", "steps": {T: ...}}}, VGG-16.
TABLE5: dict[str, dict[str, Any]] = {
    "CIFAR-10": {
        "operations_ann_million": 256.61,
        "accuracy_ann": 95.67,
        "steps": {
            "2": _energy(89.07, 0.1834, 90.17, -5.5, -89.03),
            "4": _energy(177.5, 0.1856, 94.14, -1.60, -82.43),
            "8": _energy(351.89, 0.1857, 95.14, -0.55, -69.72),
            "12": _energy(526.09, 0.186, 95.35, -0.33, -57.06),
            "16": _energy(700.41, 0.1864, 95.45, -0.23, -44.4),
        },
    },
    "CIFAR-100": {
        "operations_ann_million": 256.98,
        "accuracy_ann": 77.29,
        "steps": {
            "2": _energy(92.48, 0.1958, 64.89, -12.4, -87.95),
            "4": _energy(180.29, 0.1908, 73.58, -3.71, -81.21),
            "8": _energy(352.63, 0.1883, 76.35, -1.22, -68.76),
            "12": _energy(524.96, 0.188, 77.13, -0.21, -56.41),
            "16": _energy(697.6, 0.1882, 77.22, -0.09, -44.06),
        },
    },
}

FIGURES: dict[str, str] = {
    "4": "VGG-16 on CIFAR-10: maxima of the first image of each batch of 4; 5th layer (256 channels of "
    "8x8), 13th layer (4,096 neurons)",
    "7": "with and without DNI, T = 2, 4, ... 128 on CIFAR-10; curves only",
    "8": "with and without SNM; lossless at about T = 100 on CIFAR-10 and T = 200 on CIFAR-100",
    "9": "average firing rate of VGG-16 at T = 8: 0.1857 on CIFAR-10, 0.1883 on CIFAR-100",
}

DIFFERENCES: dict[str, str] = {
    "data": "The paper measures on the 10,000 lossless test images of CIFAR-10. CIFAR-10 (JPEG) is the "
    "same images with loss: a network "
    "trained on lossless ones falls by about 10 points there. CIFAR-10 (lossless subset) is 1,000 test "
    "and 4,000 training images.",
    "training": "The paper trains with AutoAugment and Cutout, VGG-16 to 95.67 %. The VGG-16 here had 11 "
    "epochs (87.66 % of all JPEG test "
    "images). ResNet-20 has a fortieth of ResNet-18's weights, and the paper prints no figures of it: "
    "its Figures 7 and 8 are captioned "
    "ResNet-20, and its text says ResNet-18.",
    "head": "The paper's 256.61 M and 256.98 M operations are, to the last digit, those of VGG-16 with a "
    "4,096-4,096 classifier and two of "
    "its 37.75 M convolutions less. The network here has all thirteen convolutions and a 512-512 "
    "classifier: 313.73 M.",
    "calibration": "The paper takes maxima over the 50,000 training images, here over a sample of them "
    "(calibration_images).",
}
