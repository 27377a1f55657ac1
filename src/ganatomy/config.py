"""Base class of all settings: an immutable value that refuses unknown fields when it is created or copied."""

import difflib
from collections.abc import Iterable, Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from ganatomy.errors import Refused


class Config(BaseModel):
    """A plain frozen value: compared with ``==``, written to JSON and read back, never running code when read."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def replace(self, **changes: Any) -> Self:
        """A copy with some fields changed, checked as a whole like any other input.

        Raises:
            Refused: there is no such field, or the copy would not be accepted; the message says what would be.
        """
        kind = type(self)
        given = {name: getattr(self, name) for name in self.model_fields_set}
        try:
            return kind.model_validate(given | changes)
        except ValidationError as error:
            why = explain_validation_error(error, kind)
            raise Refused(end_sentence(f"{kind.__name__} does not accept {', '.join(changes)}: {why}")) from error

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """The copy of pydantic, which checks nothing by itself; changes go through `replace`."""
        copied = super().model_copy(deep=deep)
        return copied.replace(**update) if update else copied

    def copy(self, **options: Any) -> Self:
        """The same as `model_copy`, under pydantic's older name."""
        return self.model_copy(**options)


def explain_validation_error(error: ValidationError, kind: type[BaseModel]) -> str:
    """The first thing that `kind` does not accept: where, what, and what was given, as the end of a sentence."""
    first = error.errors()[0]
    path = ".".join(map(str, first["loc"]))
    message = first["msg"].removeprefix("Value error, ")
    if not path:  # of the fields together: what was given would be all of them
        return message
    if first["type"] != "extra_forbidden":
        return f"{path}: {message} (got {first['input']!r})"
    hint = f"; {suggest_name(path, kind.model_fields)}" if len(first["loc"]) == 1 else ""
    return f"there is no field {path}{hint}"


def suggest_name(name: str, known: Iterable[str]) -> str:
    """What somebody who wrote `name` may have meant: the nearest known name, or all of them; the end of a sentence."""
    names = list(known)
    near = difflib.get_close_matches(name, names, 1)
    return f"did you mean {near[0]}?" if near else f"there are: {', '.join(names) or 'no parts below it'}"


def end_sentence(text: str) -> str:
    """The text with a full stop, where it does not end in a question."""
    return text if text.endswith("?") else f"{text}."
