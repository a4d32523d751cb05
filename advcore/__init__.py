"""The engine of Adversarial Lab: datasets, models, attacks, curves, defenses and checkpoints.

It knows nothing of the browser app: torch, numpy, pillow, pyarrow and safetensors are all it needs.
"""

__version__ = "0.1.0"
