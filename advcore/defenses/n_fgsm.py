"""N-FGSM: FGSM training from strong noise, without projection (de Jorge et al. 2022)."""

from __future__ import annotations

from collections.abc import Iterator

from advcore.defenses.base import STEP_SIZE, Defense, Step
from advcore.lazy import torch


def losses(step: Step, images: torch.Tensor, labels: torch.Tensor) -> Iterator[torch.Tensor]:
    """Cross-entropy on images + noise from U[−2ε, 2ε] + ε · sign of the gradient there, clipped to [0, 1].

    The result may lie up to 3ε from the image: the strong noise together with leaving out the projection onto the ε-ball
    keeps the single step from catastrophic overfitting in the paper's experiments.
    """
    from advcore.attacks import input_gradient

    epsilon = step.recipe.epsilon
    noisy = images + step.uniform(images, 2 * epsilon)
    ascent = input_gradient(step.network, noisy, labels).sign()
    yield step.loss(noisy.add(ascent, alpha=step.recipe.step_size or epsilon).clamp_(0, 1), labels)


N_FGSM = Defense(
    name="n_fgsm",
    title="N-FGSM",
    trained="N-FGSM-trained",
    about="FGSM images from noise of up to 2ε, without projection back to ε",
    losses=losses,
    paper="de Jorge et al. 2022, arXiv 2202.01181",
    settings=(STEP_SIZE,),
)
