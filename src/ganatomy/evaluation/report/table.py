"""A table of a page, as a value."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Table:
    """A table of a page.

    Args:
        title: the heading; empty = none.
        heads: the names of the columns; empty = only the sentences are shown.
        rows: the cells; numbers are aligned and rounded for display, None is a dash.
        caption: sentences below the table.
        intro: sentences above it.
    """

    title: str = ""
    heads: tuple[str, ...] = ()
    rows: Sequence[tuple[Any, ...]] = field(default=())
    caption: str = ""
    intro: str = ""
