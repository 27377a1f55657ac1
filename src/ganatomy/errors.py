"""Exceptions that end a command with one sentence for the user and an exit code."""


class Ended(Exception):
    """Ended early. The command line prints the message without a traceback and leaves with `exit_code`."""

    exit_code = 1


class Refused(Ended, ValueError):
    """What was given cannot be used. The message says what was given, what is accepted and what to do."""

    exit_code = 2


class Diverged(Ended):
    """A loss or a weight is no longer a finite number."""


class Interrupted(Ended):
    """Stopped by a signal; finished work is kept, and the same command continues."""

    exit_code = 130
