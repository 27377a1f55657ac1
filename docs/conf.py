"""Sphinx: one site of the pages in this folder, the docstrings of the public names, and the help of the command line."""

from importlib.metadata import version as find_version

project = "ganatomy"
author = "the authors of ganatomy"
release = version = find_version("ganatomy")

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"ganatomy {release}"

# Pages. The notebooks of the tutorials are executed by tests, never by a build of the site.
nb_execution_mode = "off"
myst_heading_anchors = 4
myst_enable_extensions = ["deflist"]
# Generated tables begin below their page's level, and cells have lines of the shell, which are no Python.
suppress_warnings = ["myst.header", "misc.highlighting_failure"]

# Docstrings: Google's sections, and `names` in single backticks as in Markdown.
default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
maximum_signature_line_length = 100  # a longer signature has one argument a line
strip_signature_backslash = True  # `set_` and `compile_` keep their underscores
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_admonition_for_examples = False
