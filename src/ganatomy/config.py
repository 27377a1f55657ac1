"""Base class of all settings: an immutable value that refuses unknown fields when it is created or copied."""

from collections.abc import Iterable, Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from ganatomy.errors import Refused, find_similar_name


class Config(BaseModel):
    """An immutable value that is compared with ``==`` and written to JSON; reading it back executes no code."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def replace(self, **changes: Any) -> Self:
        """Make a copy with changed fields, which is validated as a whole like any other input.

        Raises:
            Refused: there is no such field, or the copy is not valid; the message says what is accepted.
        """
        kind = type(self)
        given = {name: getattr(self, name) for name in self.model_fields_set}
        try:
            return kind.model_validate(given | changes)
        except ValidationError as error:
            why = explain_validation_error(error, kind)
            raise Refused(end_sentence(f"{kind.__name__} does not accept {', '.join(changes)}: {why}")) from error

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Pydantic's method to copy, which does not validate by itself; here changes go through `replace`."""
        copied = super().model_copy(deep=deep)
        return copied.replace(**update) if update else copied

    def copy(self, **options: Any) -> Self:
        """Pydantic's older name of `model_copy`."""
        return self.model_copy(**options)


def explain_validation_error(error: ValidationError, kind: type[BaseModel]) -> str:
    """Describe the first value that `kind` does not accept, with its place and reason, as the end of a sentence."""
    first = error.errors()[0]
    path = ".".join(map(str, first["loc"]))
    message = first["msg"].removeprefix("Value error, ")
    if not path:  # an error of several fields together: the input would be all of them
        return message
    if first["type"] != "extra_forbidden":
        return f"{path}: {message} (got {first['input']!r})"
    hint = f"; {suggest_name(path, kind.model_fields)}" if len(first["loc"]) == 1 else ""
    return f"there is no field {path}{hint}"


def suggest_name(name: str, known: Iterable[str]) -> str:
    """Suggest the known name that is most similar to `name`, or list all of them, as the end of a sentence."""
    names = list(known)
    near = find_similar_name(name, names)
    return f"did you mean {near}?" if near else f"there are: {', '.join(names) or 'no parts below it'}"


def end_sentence(text: str) -> str:
    """Add a full stop to the text unless it ends in a question mark."""
    return text if text.endswith("?") else f"{text}."
