"""The error that users see: one sentence that says what is wrong and what to do."""


class PoseError(Exception):
    """Something in the world is wrong (a file, a device, an option), told in one sentence."""


class Interrupted(PoseError):
    """Somebody pressed Ctrl-C; says what was kept."""


class PoseWarning(UserWarning):
    """Something that people should know, in a sentence; the work goes on."""
