"""The user's mistake, told in one sentence."""


class Refused(ValueError):
    """What was given cannot be used. The message says what was given, what is accepted and what to do.

    The command line prints it without a traceback and leaves with exit code 2.
    """
