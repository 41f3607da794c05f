"""The errors that users see. Each is one sentence that says what is wrong and what to do."""


class PoseError(Exception):
    """An error that the user can fix, such as a wrong file, device or option. The message is one sentence."""


class Interrupted(PoseError):
    """The user pressed Ctrl-C. The message says what was kept."""


class PoseWarning(UserWarning):
    """A warning for the user in one sentence. The work continues."""
