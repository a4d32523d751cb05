"""CIFAR-10 models of RobustBench: what they published, for comparison with ours.

Croce et al. 2021, "RobustBench: a standardized adversarial robustness benchmark" (arXiv 2010.09670). The figures are those of
the `model_info/cifar10/Linf` files of github.com/RobustBench/robustbench at commit 78fcc9e of 31 March 2025: all 10,000
original test images, AutoAttack (standard) in L∞ at ε = 8/255 (0.031 for Zhang et al. 2019).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SOURCE = "RobustBench, github.com/RobustBench/robustbench, 31 March 2025"
EPSILON = 8 / 255
IMAGES = 10_000


@dataclass(frozen=True)
class PublishedModel:
    """One model: accuracies in percent on clean images and under AutoAttack.

    `name` is RobustBench's. `more_data` says whether it was trained on real images besides CIFAR-10's.
    """

    name: str
    title: str
    architecture: str
    clean: float
    autoattack: float
    more_data: bool = False

    @property
    def network(self) -> str:
        """The architecture, and whether more data was used."""
        return f"{self.architecture}, more data" if self.more_data else self.architecture


def comparable(found: Mapping[str, Any]) -> bool:
    """Whether an AutoAttack result in a header was measured at this ε: 0.031, as in Zhang et al., counts; 0.03 does not."""
    return found["norm"] == "linf" and abs(found["epsilon"] - EPSILON) < 5e-4


CIFAR10: tuple[PublishedModel, ...] = (
    PublishedModel("Standard", "not defended", "WideResNet-28-10", 94.78, 0.0),
    PublishedModel("Madry2018Towards", "Madry et al. 2018", "WideResNet-34-10", 87.14, 44.04),
    PublishedModel("Mustafa2019Adversarial", "Mustafa et al. 2019", "ResNet-110", 89.16, 0.28),
    PublishedModel("Shafahi2019Adversarial", "Shafahi et al. 2019", "WideResNet-34-10", 86.11, 41.47),
    PublishedModel("Engstrom2019Robustness", "Engstrom et al. 2019", "ResNet-50", 87.03, 49.25),
    PublishedModel("Zhang2019Theoretically", "Zhang et al. 2019", "WideResNet-34-10", 84.92, 53.08),
    PublishedModel("Hendrycks2019Using", "Hendrycks et al. 2019", "WideResNet-28-10", 87.11, 54.92, more_data=True),
    PublishedModel("Carmon2019Unlabeled", "Carmon et al. 2019", "WideResNet-28-10", 89.69, 59.53, more_data=True),
    PublishedModel("JinRinard2020Manifold", "Jin & Rinard 2020", "ResNet-18", 90.84, 1.35),
    PublishedModel("Wong2020Fast", "Wong et al. 2020", "PreActResNet-18", 83.34, 43.21),
    PublishedModel("Andriushchenko2020Understanding", "Andriushchenko & Flammarion 2020", "PreActResNet-18", 79.84, 43.93),
    PublishedModel("Rice2020Overfitting", "Rice et al. 2020", "WideResNet-34-20", 85.34, 53.42),
    PublishedModel("Wu2020Adversarial", "Wu et al. 2020", "WideResNet-34-10", 85.36, 56.17),
    PublishedModel("Gowal2020Uncovering_70_16_extra", "Gowal et al. 2020", "WideResNet-70-16", 91.1, 65.88, more_data=True),
    PublishedModel("Sehwag2021Proxy_R18", "Sehwag et al. 2021", "ResNet-18", 84.59, 55.54),
    PublishedModel("Rade2021Helper_R18_ddpm", "Rade & Moosavi-Dezfooli 2021", "PreActResNet-18", 86.86, 57.09),
    PublishedModel("Gowal2021Improving_28_10_ddpm_100m", "Gowal et al. 2021", "WideResNet-28-10", 87.5, 63.44),
    PublishedModel("Addepalli2022Efficient_RN18", "Addepalli et al. 2022", "ResNet-18", 85.71, 52.48),
    PublishedModel("Debenedetti2022Light_XCiT-S12", "Debenedetti et al. 2022", "XCiT-S12", 90.06, 56.14, more_data=True),
    PublishedModel("Pang2022Robustness_WRN70_16", "Pang et al. 2022", "WideResNet-70-16", 89.01, 63.35),
    PublishedModel("Wang2023Better_WRN-28-10", "Wang et al. 2023", "WideResNet-28-10", 92.44, 67.31),
    PublishedModel("Wang2023Better_WRN-70-16", "Wang et al. 2023", "WideResNet-70-16", 93.25, 70.69),
    PublishedModel("Peng2023Robust", "Peng et al. 2023", "RaWideResNet-70-16", 93.27, 71.07),
    PublishedModel("Bartoldson2024Adversarial_WRN-82-8", "Bartoldson et al. 2024", "WideResNet-82-8", 93.11, 71.59),
    PublishedModel("Bartoldson2024Adversarial_WRN-94-16", "Bartoldson et al. 2024", "WideResNet-94-16", 93.68, 73.71),
)
