"""The defenses: how a training step turns a batch into losses. A new one is a file with its entry, named in `DEFENSES`."""

from __future__ import annotations

from advcore.defenses.base import Defense, Setting, Step
from advcore.defenses.distill import DISTILL
from advcore.defenses.fgsm import FGSM
from advcore.defenses.fgsm_rs import FGSM_RS
from advcore.defenses.n_fgsm import N_FGSM
from advcore.defenses.noise import NOISE
from advcore.defenses.pgd import PGD
from advcore.defenses.standard import STANDARD
from advcore.defenses.temperature import HIGH_TEMPERATURE
from advcore.defenses.trades import TRADES

DEFENSES: dict[str, Defense] = {
    defense.name: defense for defense in (STANDARD, FGSM, FGSM_RS, N_FGSM, PGD, TRADES, HIGH_TEMPERATURE, DISTILL, NOISE)
}
