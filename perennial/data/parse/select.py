"""CSS selectors, XPath expressions and JSON paths, compiled once into functions."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import cssselect
import jmespath
from cssselect.parser import FunctionalPseudoElement
from jmespath.functions import Functions
from lxml import etree

from perennial.errors import suggestion

Raw = str | int | float | bool | list[Any] | dict[str, Any] | None
"""What stands at a place before it is read: a text, a JSON value, a list of several; None where there is nothing."""

Take = Callable[[Any], Raw]

_NAMESPACES = {"re": "http://exslt.org/regular-expressions"}
_TRANSLATOR = cssselect.HTMLTranslator()
_QUOTED = re.compile(r"\"[^\"]*\"|'[^']*'")
_CALL = re.compile(r"(?<![\w:$@-])((?:re:)?[a-zA-Z][\w-]*)\s*\(")
_LEAF = re.compile(r"(?:@[\w:-]+|text\(\))\s*$")
_NO_FUNCTIONS = frozenset({"and", "or", "div", "mod", "text", "node", "comment", "processing-instruction"})


def _xpath(expression: str) -> etree.XPath:
    try:
        with_regexes = "re:" in expression
        return etree.XPath(
            expression,
            namespaces=_NAMESPACES if with_regexes else None,
            regexp=with_regexes,
            smart_strings=False,
        )
    except (etree.XPathError, ValueError) as error:
        raise ValueError(f"expected an XPath expression, found {expression!r}: {error}") from error


_TEXT = _xpath("string()")
_PIECES = _xpath("descendant-or-self::text()")


def css_to_xpath(css: str) -> str:
    """The XPath expression of a CSS selector that may end in ::text or ::attr(name).

    "" or "." is the element at which the search starts, and so is what precedes a pseudo-element that stands
    alone: "::attr(href)" is that element's own attribute.

    Raises:
        ValueError: where it is no such selector.

    >>> css_to_xpath("h2::text"), css_to_xpath("::attr(href)")
    ('descendant-or-self::h2/text()', 'self::*/@href')
    """
    if css.strip() in ("", "."):
        return "self::*"
    try:
        return " | ".join(_translated(part, css) for part in cssselect.parse(css))
    except cssselect.SelectorError as error:
        raise ValueError(f"expected a CSS selector, found {css!r}: {error}") from error


def _translated(part: cssselect.Selector, css: str) -> str:
    pseudo = part.pseudo_element
    alone = css.strip().startswith("::") and str(part.parsed_tree.canonical()) in ("*", "")
    xpath = "self::*" if alone else _TRANSLATOR.selector_to_xpath(part)
    if pseudo is None:
        return xpath
    if pseudo == "text":
        return f"{xpath}/text()"
    if isinstance(pseudo, FunctionalPseudoElement) and pseudo.name == "attr" and len(pseudo.arguments) == 1:
        return f"{xpath}/@{(pseudo.arguments[0].value or '').lower()}"
    raise ValueError(f"expected ::text or ::attr(name) behind a selector, found {css!r}")


def checked_xpath(expression: str) -> tuple[etree.XPath, bool]:
    """The compiled expression, and whether it gives a list of nodes (else a text, number or truth).

    Raises:
        ValueError: where it is no XPath 1.0 expression, or calls a function that there is not.
    """
    compiled = _xpath(expression)
    empty = etree.fromstring("<html/>")
    try:
        for name in sorted(set(_CALL.findall(_QUOTED.sub("''", expression))) - _NO_FUNCTIONS):
            _is_function(name, empty)
        found = compiled(empty)
    except etree.XPathError as error:
        raise ValueError(f"expected an XPath expression, found {expression!r}: {error}") from error
    return compiled, isinstance(found, list)


def _is_function(name: str, element: etree._Element) -> None:
    try:
        _xpath(f"{name}()")(element)
    except etree.XPathError as error:
        if "nregistered function" in str(error) or "ndefined namespace" in str(error):
            raise ValueError(f"expected a function of XPath 1.0, found {name}()") from error
    except TypeError:
        return  # it is one of re:, called without its arguments


def nodes(css: str | None, xpath: str | None) -> Callable[[etree._Element], list[Any]]:
    """What gives the elements (or texts) of a selector in the order of the page.

    Raises:
        ValueError: where the selector is wrong or gives no nodes.
    """
    expression = css_to_xpath(css) if css is not None else xpath or ""
    compiled, gives_nodes = checked_xpath(expression)
    if not gives_nodes:
        raise ValueError(f"expected an expression that selects elements, found {expression!r}")

    def found(element: etree._Element) -> list[Any]:
        selected: list[Any] = compiled(element)
        return selected

    return found


def element_value(css: str | None, xpath: str | None, every: bool, numeric: bool) -> Take:
    """What gives the text at a selector: of the first node with any text or, with `every`, of all as a list.

    The text of an element is that of all within it. With `numeric` a digit is never glued to one of another
    element: `34.845<sup>1</sup>` is "34.845 1". "" stands for nodes without any text.

    Raises:
        ValueError: where the selector is wrong.
    """
    expression = css_to_xpath(css) if css is not None else xpath or ""
    own = re.fullmatch(r"(?:self::\*/)?@([\w:-]+)", expression)
    if own and ":" not in own[1]:
        name = own[1]
        return lambda element: element.get(name)
    compiled, gives_nodes = checked_xpath(expression)
    if not gives_nodes:
        return lambda element: _scalar(compiled(element))
    text_of = _pieces_text if numeric else _whole_text

    def all_texts(element: Any) -> Raw:
        found = compiled(element)
        texts = [node if isinstance(node, str) else text_of(node) for node in found]
        if every:
            return texts or None
        return next((text for text in texts if text and not text.isspace()), "" if texts else None)

    if every:
        return all_texts
    if numeric and not all(_LEAF.search(part) for part in expression.split("|")):
        pieces = _xpath(f"({expression})[1]/descendant-or-self::text()")
        return lambda element: _glued(pieces(element)) or all_texts(element)
    first = _xpath(f"string({expression})")

    def first_text(element: Any) -> Raw:
        text: str = first(element)
        return text if text and not text.isspace() else all_texts(element)

    return first_text


def holder(css: str | None, xpath: str | None) -> Callable[[etree._Element], etree._Element | None] | None:
    """What gives the element that holds the first node of a correct selector; None where it selects no nodes."""
    expression = css_to_xpath(css) if css is not None else xpath or ""
    if not checked_xpath(expression)[1]:
        return None
    compiled = _xpath(f"({expression})[1]/ancestor-or-self::*[1]")

    def held(element: etree._Element) -> etree._Element | None:
        found = compiled(element)
        return found[0] if found else None

    return held


def json_value(path: str) -> Take:
    """What gives the value at a JSON path (JMESPath); None where there is none, or where a function fails on it.

    Raises:
        ValueError: where `path` is no JMESPath expression, or calls a function that there is not.
    """
    try:
        compiled = jmespath.compile(path)
    except jmespath.exceptions.JMESPathError as error:
        first = str(error).splitlines()[0]
        raise ValueError(f"expected a JMESPath expression, found {path!r}: {first}") from error
    for name in _functions(compiled.parsed):
        if name not in Functions.FUNCTION_TABLE:
            known = suggestion(name, Functions.FUNCTION_TABLE)
            raise ValueError(f"expected a function of JMESPath, found {name}(){known}")
    steps = _steps(compiled.parsed)
    if steps is not None:
        return lambda value: _walked(value, steps)

    def searched(value: Any) -> Raw:
        try:
            found: Raw = compiled.search(value)
        except jmespath.exceptions.JMESPathError:
            return None
        return found

    return searched


def _whole_text(element: Any) -> str:
    text: str = _TEXT(element)
    return text


def _pieces_text(element: Any) -> str:
    return _glued(_PIECES(element))


def _glued(pieces: Sequence[str]) -> str:
    if len(pieces) == 1:
        text = pieces[0]
    else:
        text = ""
        for piece in pieces:
            text += f" {piece}" if text[-1:].isdigit() and piece[:1].isdigit() else piece
    return "" if text.isspace() else text


def _scalar(found: Any) -> Raw:
    if isinstance(found, bool):
        return found
    if isinstance(found, float):
        if math.isnan(found):
            return None
        return int(found) if found.is_integer() else found
    return str(found) or None


def _functions(node: Any) -> list[str]:
    """The names of all functions that a parsed JMESPath expression calls."""
    if not isinstance(node, dict):
        return []
    own = [node["value"]] if node.get("type") == "function_expression" else []
    return own + [name for child in node.get("children", ()) for name in _functions(child)]


def _steps(node: dict[str, Any]) -> tuple[str | int, ...] | None:
    """The keys and indices of an expression that is nothing but a chain of them; None for any other."""
    kind = node["type"]
    if kind in ("current", "identity"):
        return ()
    if kind in ("field", "index"):
        return (node["value"],)
    if kind in ("subexpression", "index_expression"):
        parts = [_steps(child) for child in node["children"]]
        return None if None in parts else tuple(step for part in parts for step in part or ())
    return None


def _walked(value: Any, steps: tuple[str | int, ...]) -> Raw:
    for step in steps:
        if isinstance(step, str):
            value = value.get(step) if isinstance(value, dict) else None
        elif isinstance(value, list) and -len(value) <= step < len(value):
            value = value[step]
        else:
            return None
    found: Raw = value
    return found
