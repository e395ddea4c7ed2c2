"""Figures as elements of one page: SVG of matplotlib with unique ids, shared styles and the page's theme."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree
from xml.sax import saxutils

_THEME = {
    **{"#1b1e23": "currentColor", "#ffffff": "var(--paper)", "#8b929c": "var(--faint)"},
    **{"#832db6": "var(--violet)", "#bd1f01": "var(--red)"},
}
"""Colours of plots/style.py that the light or the dark theme of the report would hide, and what they become there."""
TIPS = "values:"
"""Begin of the id of points or areas, behind which their values stand in words, one for each, between ``|``."""
_RECTANGLE = 10
"""Numbers in the path of a rectangle: four corners, and the first again."""
_LARGEST, _SMALLEST = 1.34, 0.8
"""Widths of a figure in its own points: letters are at most as large as the text, and can be read on a telephone."""
_LEGIBLE = 6.0
"""Points that the smallest letters of a figure have at least on the page, however narrow that is."""


def figure_key(path: Path) -> tuple[str, str]:
    """Return owner and name of a figure, by where it is.

    ``comparison/{name}.svg``, ``trainings/{owner}/figures/{name}.svg``, or of the region ``inputs-{region}`` before any
    training: ``inputs/regions/{region}/figures/{name}.svg`` and, of all features, one folder above.
    """
    folder = path.parent.parent if path.parent.name == "figures" else path.parent
    return (f"inputs-{folder.name}" if folder.parent.name == "regions" else folder.name), path.stem


def document(owner: str, name: str) -> str:
    """Return where the PDF of a figure is, relative to the report."""
    if owner.startswith("inputs-"):
        return f"inputs/regions/{owner.removeprefix('inputs-')}/{name}.pdf"
    return f"comparison/{name}.pdf" if owner == "comparison" else f"trainings/{owner}/figures/{name}.pdf"


class Drawings(NamedTuple):
    """Figures as elements of a page, by (owner, name), and the style sheet that they share."""

    elements: dict[tuple[str, str], str]
    styles: str


def drawings(figures: Mapping[tuple[str, str], str]) -> Drawings:
    """Turn SVG files into elements of one page; equal styles become one class, so that the page stays small."""
    classes: dict[str, str] = {}
    elements = {key: inline(svg, f"{'-'.join(key)}-", classes) for key, svg in figures.items()}
    rules = [f"svg.figure .{name}{{{style}}}" for style, name in classes.items()]
    return Drawings(elements, "\n".join(rules))


def inline(svg: str, prefix: str, classes: dict[str, str]) -> str:
    """Return an SVG file of matplotlib as an element of a page: unique ids, colours and font of the page's theme.

    New styles are added to *classes* (style to the name of its class).
    """
    root = ElementTree.fromstring(svg)
    _title(root)
    text = ElementTree.tostring(root, encoding="unicode")
    used = {name for pair in re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', text) for name in pair if name}
    width = float(root.get("viewBox", "0 0 700 0").split()[2])
    sizes = f"max-width:{_LARGEST * width:.0f}pt;min-width:{_least(text) * width:.0f}pt"
    parts = [f'<svg class="figure" viewBox="{root.get("viewBox")}" style="{sizes}">']
    for child in root:
        _serialise(child, parts, prefix, used, classes)
    return "".join([*parts, "</svg>"])


def _least(svg: str) -> float:
    """Return the smallest width of a figure, in its own: smaller letters need more."""
    letters = [float(size) for size in re.findall(r"font(?:-size)?: (?:[a-z]+ )*([\d.]+)px", svg)]
    return min(max(_SMALLEST, _LEGIBLE / min(letters, default=_LEGIBLE / _SMALLEST)), _LARGEST)


def _title(root: ElementTree.Element) -> None:
    """Give every point, or area in a group without points, its value as a title, where there is one for each."""
    space = root.tag.partition("}")[0] + "}"
    for group in root.iter(f"{space}g"):
        if group.get("id", "").startswith(TIPS):
            texts = group.attrib.pop("id").removeprefix(TIPS).split("|")
            points = list(group.iter(f"{space}use")) or [_plain(path) for path in group.findall(f"{space}path")]
            for point, text in zip(points, texts, strict=True) if len(points) == len(texts) else ():
                ElementTree.SubElement(point, f"{space}title").text = text


def _plain(area: ElementTree.Element) -> ElementTree.Element:
    """Return the path of a rectangle, written as short as can be; there are thousands."""
    corners = re.findall(r"[-\d.]+", area.get("d", ""))
    area.attrib.pop("clip-path", None)
    if len(corners) == _RECTANGLE:
        (left, low), (right, high) = ([f"{float(value):.1f}" for value in corners[i : i + 2]] for i in (0, 4))
        area.set("d", f"M{left} {low}H{right}V{high}H{left}z")
    return area


def _serialise(
    element: ElementTree.Element, parts: list[str], prefix: str, used: set[str], classes: dict[str, str]
) -> None:
    """Append *element* to *parts*, without what a page does not need."""
    tag = element.tag.rpartition("}")[2]
    if tag in ("metadata", "style"):
        return
    attributes = dict(_attributes(element, prefix, used, classes))
    bare = tag == "g" and not attributes
    if not bare:
        parts.append(f"<{tag}{''.join(f' {name}={saxutils.quoteattr(value)}' for name, value in attributes.items())}>")
    if element.text and element.text.strip():
        parts.append(saxutils.escape(element.text))
    for child in element:
        _serialise(child, parts, prefix, used, classes)
        if child.tail and child.tail.strip():
            parts.append(saxutils.escape(child.tail))
    if not bare:
        parts.append(f"</{tag}>")


def _attributes(
    element: ElementTree.Element, prefix: str, used: set[str], classes: dict[str, str]
) -> Iterator[tuple[str, str]]:
    """Yield the attributes that an element keeps: references made unique, numbers to a hundredth of a point."""
    for name, value in element.items():
        name = name.rpartition("}")[2]
        if name == "id":
            if value in used:
                yield name, prefix + value
        elif name == "style":
            style = themed(value).replace("url(#", f"url(#{prefix}")
            yield "class", classes.setdefault(style, f"f{len(classes)}")
        elif name == "href":
            yield name, f"#{prefix}{value[1:]}" if value.startswith("#") else value
        elif name == "clip-path":
            yield name, value.replace("url(#", f"url(#{prefix}")
        elif name in ("d", "x", "y", "points") or (name == "transform" and "scale" not in value):
            yield name, re.sub(r"\s+", " ", re.sub(r"(\.\d\d)\d+", r"\1", value)).strip()
        else:
            yield name, value


def themed(style: str) -> str:
    """Return a style with the colours and the font of the page."""
    style = re.sub(r"font-family: [^;]*", "font-family: var(--figure-font)", style)
    for colour, themed in _THEME.items():
        style = style.replace(colour, themed)
    return style
