"""Pages made from templates (Jinja2): a page lies in `ganatomy/templates`, its values come from the caller."""

from functools import lru_cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape


@lru_cache
def _get_environment() -> Environment:
    return Environment(
        loader=PackageLoader("ganatomy", "templates"),
        autoescape=select_autoescape(enabled_extensions=("html.jinja",), default=False),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def render_template(name: str, **values: Any) -> str:
    """Render a template of this package.

    Args:
        name: the file in `ganatomy/templates` without ``.jinja``. In a name that ends in ``.html``, values are escaped.
        values: the values that the template uses.

    Raises:
        jinja2.UndefinedError: the template uses a value that is not given.
    """
    return _get_environment().get_template(f"{name}.jinja").render(values)
