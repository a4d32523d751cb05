"""The errors a user may see: each message is one sentence that says what, why and what to do."""


class AdvcoreError(ValueError):
    """Base of every designed error; the app shows its message, the command line exits with code 2."""


class DataError(AdvcoreError):
    """A dataset is missing, truncated, of the wrong shape or otherwise unreadable."""


class ModelError(AdvcoreError):
    """An architecture does not exist or cannot take images of the given size."""


class AttackError(AdvcoreError):
    """An option or a budget of an attack is out of range, or the attack cannot be targeted."""


class CheckpointError(AdvcoreError):
    """A checkpoint file is unknown, truncated, foreign or hostile."""


class RecipeError(AdvcoreError):
    """A recipe holds a value that no training run can have."""


class LimitError(AdvcoreError):
    """Somebody asks for more than a public server gives each of its visitors."""
