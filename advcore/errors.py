"""The errors a user may see: each message is one sentence that says what, why and what to do."""


class AdvcoreError(ValueError):
    """Base of every designed error; the app shows its message, the command line exits with code 2."""


class DataError(AdvcoreError):
    """A dataset is missing, truncated, of the wrong shape or otherwise unreadable."""


class ModelError(AdvcoreError):
    """An architecture does not exist or does not fit the images it is asked to take."""


class AttackError(AdvcoreError):
    """An attack was asked for something it cannot do."""


class CheckpointError(AdvcoreError):
    """A checkpoint file is unknown, truncated, foreign or hostile."""


class RecipeError(AdvcoreError):
    """A recipe holds a value that no training run can have."""
