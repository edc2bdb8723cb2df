"""What mkdocs.yml asks for beyond plugins: links out of docs/, the changelog, formulas, and docstrings in Markdown.

As a hook of MkDocs it changes pages, as an extension of griffe it changes docstrings.
"""

import html
import re
from pathlib import Path
from typing import Any

import griffe
from latex2mathml.converter import convert

import al_lightning

OUTSIDE = re.compile(r"\[([^\]]+)\]\(\.\./[^)]*\)")
PUBLIC_NAME = re.compile(r"^::: al_lightning\.(\w+)$", re.MULTILINE)
FORMULA = re.compile(r'<(span|div) class="arithmatex">\\([(\[])(.+?)\\[)\]]</\1>', re.DOTALL)
ROLE = re.compile(r":(?:class|func|meth|mod|attr|data):`~?([\w.]+)`")
MATH_ROLE = re.compile(r":math:`([^`]+)`")
EXAMPLE = re.compile(r"^Example:$", re.MULTILINE)  # griffe knows the plural
MATH_BLOCK = re.compile(r"^( *)\.\. math:: (.+)$", re.MULTILINE)


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Called by MkDocs for each page."""
    if page.file.src_uri == "changelog.md":
        return Path("CHANGELOG.md").read_text().replace("](docs/", "](")  # it links from the folder above
    markdown = OUTSIDE.sub(r"\1", markdown)  # files of the repository that the site does not have
    return PUBLIC_NAME.sub(lambda name: f"::: {where_defined(name[1])}", markdown)


def on_post_page(output: str, **_: Any) -> str:
    """Called by MkDocs for each page as HTML: browsers show MathML without a script from another server."""

    def in_mathml(formula: re.Match) -> str:
        return convert(html.unescape(formula[3]), display="block" if formula[2] == "[" else "inline")

    return FORMULA.sub(in_mathml, output)


def where_defined(name: str) -> str:
    """Full name of a public name, where its source is."""
    return f"{getattr(al_lightning, name).__module__}.{name}"


def in_markdown(docstring: str) -> str:
    """Writes roles of Sphinx as Markdown; names that are public become links."""

    def link(role: re.Match) -> str:
        name = role[1].split(".")[-1]
        return f"[`{name}`][{where_defined(name)}]" if name in al_lightning.__all__ else f"`{name}`"

    docstring = EXAMPLE.sub("Examples:", docstring)
    docstring = MATH_BLOCK.sub(r"\1$$\2$$", docstring)
    docstring = MATH_ROLE.sub(r"$\1$", docstring)
    return ROLE.sub(link, docstring)


class Docstrings(griffe.Extension):
    """Called by griffe for each object that it has read."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring:
            obj.docstring.value = in_markdown(obj.docstring.value)
