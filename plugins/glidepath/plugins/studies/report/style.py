"""How figures look: one palette, thin axes, no boxes; and how they become SVG, PDF and PNG."""

from __future__ import annotations

import io
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, Literal

from glidepath.registry import needed

#: Okabe and Ito's palette, which colour-blind readers tell apart; black is for the baseline.
COLORS: Final = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
#: By verdict.
TONES: Final = {
    "better": "#009e73",
    "worse": "#d55e00",
    "equivalent": "#0072b2",
    "undecided": "#777777",
    "given": "#777777",
}
INK: Final = "#222222"
#: Of Tol's palettes, beyond those.
_MORE: Final = ("#332288", "#661100", "#999933", "#882255", "#117733", "#f0e442")
FAINT: Final = "#bbbbbb"
_LEGEND_COLUMNS: Final = 4
_LEGEND_LETTERS: Final = 70
#: Inches: the width of a figure over a page.
WIDTH: Final = 7.0

_SETTINGS: Final = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 8.5,
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.edgecolor": "#888888",
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "legend.frameon": False,
    "figure.dpi": 100,
    # text as outlines: the page needs no font of the reader's
    "svg.fonttype": "path",
    # the same results give the same file
    "svg.hashsalt": "glidepath",
    "pdf.fonttype": 42,
}


@contextmanager
def styled() -> Iterator[None]:
    """Within, figures are made in the report's style.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    with needed("matplotlib", "figures", extra="studies").rc_context(_SETTINGS):
        yield


def new_figure(
    width: float, height: float, rows: int = 1, columns: int = 1, **layout: Any
) -> tuple[Any, Any]:
    """A figure in inches, and its axes [rows][columns]; not known to pyplot, so that nothing stays behind."""
    figure = needed("matplotlib.figure", "figures", extra="studies").Figure(
        figsize=(width, height), layout="constrained"
    )
    needed("matplotlib.backends.backend_agg", "figures", extra="studies").FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, squeeze=False, **layout)


def distinct(count: int) -> list[str]:
    """So many colours, no two of them alike: of palettes first, and beyond those of all hues."""
    colors = needed("matplotlib.colors", "figures", extra="studies")
    found = [*COLORS, *_MORE]
    hues = max(0, count - len(found))
    return [*found, *(colors.to_hex(colors.hsv_to_rgb((it / hues, 0.45, 0.75))) for it in range(hues))][
        :count
    ]


def wrapped(text: str, width: int) -> str:
    """Text in lines of at most so many letters, so that it does not run into what is beside it."""
    return "\n".join(textwrap.wrap(text, width)) or text


def legend_above(figure: Any, handles: Sequence[Any], labels: Sequence[str]) -> None:
    """A legend over the panels, in as many columns as its longest name lets in, and room for its rows."""
    labels = [wrapped(label, _LEGEND_LETTERS) for label in labels]
    width, height = figure.get_size_inches()
    for columns in range(min(len(labels), _LEGEND_COLUMNS), 0, -1):
        made = figure.legend(handles, labels, loc="outside upper center", ncols=columns)
        extent = made.get_window_extent(figure.canvas.get_renderer())
        if columns == 1 or extent.width < 0.98 * width * figure.dpi:
            break
        made.remove()
    figure.set_size_inches(width, height + extent.height / figure.dpi)


def backed() -> list[Any]:
    """White around each letter, so that a line behind a name does not strike it through."""
    effects = needed("matplotlib.patheffects", "figures", extra="studies")
    return [effects.withStroke(linewidth=2, foreground="white")]


def rendered(figure: Any, kind: Literal["svg", "pdf", "png"]) -> bytes:
    """The figure as the bytes of a file, without a date."""
    buffer = io.BytesIO()
    metadata = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {"Software": None}}[kind]
    with styled():
        figure.savefig(buffer, format=kind, dpi=200, metadata=metadata, facecolor="white")
    return buffer.getvalue()


def inline_svg(figure: Any, prefix: str) -> str:
    """The <svg> element alone, its identifiers made unique by a prefix, so that many fit on one page."""
    text = rendered(figure, "svg").decode()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{prefix}-", text)
    return re.sub(r' xmlns(:\w+)?="[^"]*"', "", text).replace("xlink:href", "href").strip()


def bare(axes: Any) -> None:
    """Take away the spine and the ticks of the vertical axis, as of rows that have names."""
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)


def signs(told: Mapping[str, bool]) -> str:
    """A sentence for a caption, of what is said of each sign that is drawn; "" where none is."""
    text = "; ".join(clause for clause, is_drawn in told.items() if is_drawn)
    return f" {text[0].upper()}{text[1:]}." if text else ""
