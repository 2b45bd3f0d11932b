"""The report as one HTML page that refers to nothing outside itself."""

from __future__ import annotations

import base64
import io
from pathlib import Path

from glidepath.plugins.studies.report.document import Document, Drawing
from glidepath.plugins.studies.report.style import inline_svg
from glidepath.registry import needed, read_picture

_HERE = Path(__file__).parent


def page(document: Document) -> str:
    """HTML: figures as inline SVG, images as data, no script. Every text is escaped.

    Raises:
        MissingExtra: jinja2 or matplotlib is not installed.
    """
    jinja = needed("jinja2", "reports", extra="studies")
    environment = jinja.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja.StrictUndefined
    )
    markup = needed("markupsafe", "reports", extra="studies").Markup
    return str(
        environment.from_string((_HERE / "page.html").read_text(encoding="utf-8")).render(
            document=document,
            style=markup((_HERE / "page.css").read_text(encoding="utf-8").strip()),
            kind_of=lambda block: type(block).__name__,
            svg=lambda drawing: markup(_svg(drawing)),
            picture=_data,
        )
    )


def _svg(drawing: Drawing) -> str:
    return inline_svg(drawing.figure, drawing.name)


def _data(file: Path) -> str:
    """An image as an address. A PNG goes without the text that it carries, which would be most of it."""
    kind = "jpeg" if file.suffix.lower() in (".jpg", ".jpeg") else file.suffix.lower().lstrip(".")
    data = file.read_bytes()
    if kind == "png":
        buffer = io.BytesIO()
        picture = read_picture(file)
        picture.info = {}
        picture.save(buffer, format="PNG")
        data = buffer.getvalue()
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
