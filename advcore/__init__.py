"""The engine of Adversarial Lab: datasets, models, attacks, curves, defenses and checkpoints.

It does not use the browser app, and needs torch, numpy, pillow, pyarrow and safetensors alone.
"""

__version__ = "0.1.0"
