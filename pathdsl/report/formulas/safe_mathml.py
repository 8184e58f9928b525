"""Which MathML of a stranger's result is printed: symbols alone, nothing that acts or refers.

>>> plain_mathml("<math><mi>x</mi></math>"), plain_mathml("<math><script>1</script></math>")
('<math><mi>x</mi></math>', '')
"""

from __future__ import annotations

from xml.etree import ElementTree as ET

from pathdsl.lang.visible import visible

__all__ = ["plain_mathml"]

TOKENS = frozenset(("mi", "mn", "mo", "mtext"))
ATTRIBUTES = {"mathvariant": ("normal",), "form": ("prefix", "postfix"), "stretchy": ("false",)}
LAYOUT = frozenset(("math", "mrow", "mfrac", "msup", "msub"))
DEEP, LONG = 60, 50_000


def plain_mathml(text: str) -> str:
    """The formula, written anew, or "" where it holds anything but symbols and their layout."""
    if len(text) > LONG or "<!" in text or "<?" in text:  # no declaration, so no entity either
        return ""
    try:
        root = ET.fromstring(text)
    except (ET.ParseError, ValueError):
        return ""
    if root.tag != "math" or not _plain(root, 0):
        return ""
    return ET.tostring(root, encoding="unicode", short_empty_elements=False)


def _plain(element: ET.Element, depth: int) -> bool:
    if depth > DEEP or (element.tail or "").strip():
        return False
    if any(value not in ATTRIBUTES.get(name, ()) for name, value in element.attrib.items()):
        return False
    if element.tag in TOKENS:
        element.text = visible(element.text or "")
        return len(element) == 0
    if element.tag not in LAYOUT or (element.text or "").strip():
        return False
    return all(_plain(inside, depth + 1) for inside in element)
