"""Exceptions that end a command with one sentence for the user and an exit code."""

from collections.abc import Iterable
from difflib import get_close_matches


class Ended(Exception):
    """Ended early. The command line prints the message without a traceback and leaves with `exit_code`."""

    exit_code = 1


class Refused(Ended, ValueError):
    """What was given cannot be used. The message says what was given, what is accepted and what to do."""

    exit_code = 2


def find_similar_name(name: str, known: Iterable[str]) -> str | None:
    """Find the known name that is most similar to `name`; None if none is similar."""
    return next(iter(get_close_matches(name, list(known), n=1)), None)


def refuse_name(sentence: str, name: str, known: Iterable[str]) -> Refused:
    """The refusal of a name that is not among the known ones: a sentence, a similar name, and what is accepted.

    Args:
        sentence: what was given and that it does not exist, without a full stop.
        name: the name that was given.
        known: the names that are accepted.

    Example:
        >>> str(refuse_name("There is no modality 'mamogram'", "mamogram", ["mammogram", "brain_mri"]))
        "There is no modality 'mamogram' (did you mean mammogram?); choose one of mammogram, brain_mri."
    """
    names = list(known)
    similar = find_similar_name(name, names)
    hint = f" (did you mean {similar}?)" if similar else ""
    return Refused(f"{sentence}{hint}; choose one of {', '.join(names)}.")


class Diverged(Ended):
    """A loss or a weight is no longer a finite number."""


class Interrupted(Ended):
    """Stopped by a signal; finished work is kept, and the same command continues."""

    exit_code = 130
