"""How Sphinx builds the pages: MyST for text, docstrings for the reference, the command line's own help."""

from __future__ import annotations

import contextlib
import io
import os
from typing import TYPE_CHECKING

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from gradcheck import __version__
from gradcheck.cli import main

if TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "gradcheck"
version = release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"gradcheck {version}"
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # docstrings say what the arguments are, shapes included
napoleon_google_docstring = False
myst_heading_anchors = 3


class CommandHelp(SphinxDirective):
    """Insert what ``gradcheck ARGUMENTS --help`` prints."""

    optional_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Ask the command line itself, so that the page cannot lag behind."""
        os.environ["COLUMNS"] = "100"  # which argparse wraps at
        with contextlib.redirect_stdout(io.StringIO()) as said, contextlib.suppress(SystemExit):
            main([*self.arguments, "--help"])
        return [nodes.literal_block(said.getvalue(), said.getvalue(), language="text")]


def setup(app: Sphinx) -> None:
    """Make the directive known."""
    app.add_directive("command-help", CommandHelp)
