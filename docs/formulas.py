"""Formulas of the pages as MathML, made when the site is built (an MkDocs hook): no script, no other host.

A formula is written as LaTeX, `$x_t$` in a line or in a block of the language `math`, as GitHub reads it too.
"""

from __future__ import annotations

import re
from html import unescape

from math_core import LatexError, LatexToMathML
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page

_FORMULA = re.compile(r'(?<=class="arithmatex">)\\([(\[])(.*?)\\[)\]](?=</)', re.DOTALL)
_CONVERTER = LatexToMathML(fancy_error=False)


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """The page with each formula as MathML.

    Raises:
        PluginError: a formula is not LaTeX that can be shown.
    """

    def mathml(match: re.Match[str]) -> str:
        latex = unescape(match[2]).strip()
        try:
            return _CONVERTER.convert_with_local_state(latex, displaystyle=match[1] == "[")
        except LatexError as error:
            raise PluginError(f"{page.file.src_uri}: {latex!r}: {error}") from error

    return _FORMULA.sub(mathml, html)
