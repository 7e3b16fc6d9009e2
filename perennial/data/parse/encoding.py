"""From the bytes of an answer to its text."""

from __future__ import annotations

import codecs
import re
import zlib
from email.message import Message

from perennial.errors import ParseError

INFLATED_MB = 200.0
"""Largest size of a compressed file once it is inflated, unless the caller says otherwise."""

_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_SUPERSETS = {  # the WHATWG Encoding Standard reads these labels as the larger encodings of Windows
    "ascii": "cp1252",
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "iso8859-11": "cp874",
    "tis-620": "cp874",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    "big5": "big5hkscs",
    "utf-16": "utf-16-le",
}
_NOT_OF_TEXTS = frozenset(
    {"idna", "punycode", "raw-unicode-escape", "unicode-escape", "undefined", "utf-7", "mbcs", "oem"}
)
_HEAD_BYTES = 4096
_COMMENT = re.compile(rb"<!--.*?(?:-->|\Z)", re.DOTALL)
_META = re.compile(rb"<meta\s[^>]*?charset\s*=\s*[\"']?\s*([\w.:-]+)", re.IGNORECASE)
_XML = re.compile(rb"\s*<\?xml\s[^>]*?encoding\s*=\s*[\"']([\w.:-]+)")


def encoding_named(label: str) -> str:
    """Python's name of the encoding that `label` means on the web.

    Raises:
        ValueError: where there is no such encoding.

    >>> encoding_named("ISO-8859-1")
    'cp1252'
    """
    try:
        found = codecs.lookup(label.strip())
        "".encode(found.name)
    except (LookupError, UnicodeError, ValueError) as error:
        raise ValueError(f"expected an encoding such as utf-8 or windows-1252, found {label!r}") from error
    if found.name.replace("_", "-") in _NOT_OF_TEXTS:
        raise ValueError(f"expected an encoding such as utf-8 or windows-1252, found {label!r}")
    return _SUPERSETS.get(found.name, found.name)


def charset(content_type: str) -> str:
    """The encoding that a Content-Type header names; "" where it names none that is known."""
    if "charset" not in content_type.lower():
        return ""
    header = Message()
    header["content-type"] = content_type.replace("\r", " ").replace("\n", " ")
    named = header.get_param("charset")
    return _known(named) if isinstance(named, str) else ""


def media_type(content_type: str) -> str:
    """The type that a Content-Type header names, in lower case and without parameters."""
    return content_type.partition(";")[0].strip().lower()


def page_text(body: bytes, content_type: str, encoding: str) -> bytes:
    """A page in UTF-8, without BOM and without NUL.

    A BOM settles the encoding of `body`; else `encoding` does unless it is "auto"; else the header, a meta tag,
    the XML declaration; else it is UTF-8 where that decodes and windows-1252 where not. What cannot be decoded
    becomes U+FFFD, as in a browser.
    """
    for bom, name in _BOMS:
        if body.startswith(bom):
            return _in_utf8(body[len(bom) :], name)
    if encoding != "auto":
        return _in_utf8(body, encoding_named(encoding))
    declared = charset(content_type) or _declared(body)
    if declared:
        return _in_utf8(body, declared)
    return _in_utf8(body, "utf-8" if decodes(body) else "cp1252")


def data_text(body: bytes, content_type: str, encoding: str, url: str) -> str:
    """The text of a data file: by its BOM, else by `encoding` unless "auto", else by the header, else UTF-8.

    Raises:
        ParseError: where the bytes are not of that encoding.
    """
    for bom, bom_name in _BOMS:
        if body.startswith(bom):
            body, name = body[len(bom) :], bom_name
            break
    else:
        name = encoding_named(encoding) if encoding != "auto" else charset(content_type) or "utf-8"
    try:
        return body.decode(name)
    except UnicodeError as error:
        raise ParseError(url, f"expected text in {name}, found other bytes", "set read.encoding") from error


def inflated(body: bytes, most_mb: float, url: str) -> bytes:
    """`body` itself, or what it holds where it is a gzip file.

    Raises:
        ParseError: where the file is damaged, incomplete or larger than `most_mb` MB once inflated.
    """
    if not body.startswith(b"\x1f\x8b"):
        return body
    most_bytes = int(most_mb * 1e6)
    parts: list[bytes] = []
    size = 0
    while body:
        member = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        try:
            parts.append(member.decompress(body, most_bytes - size + 1))
        except zlib.error as error:
            raise ParseError(url, "expected a gzip file, found a damaged one", "fetch it again") from error
        size += len(parts[-1])
        if size > most_bytes:
            raise ParseError(
                url,
                f"found more than {most_mb:g} MB once inflated",
                "raise limits.inflated_mb or leave it out",
            )
        if not member.eof:
            raise ParseError(url, "expected a gzip file, found half of one", "fetch it again")
        body = member.unused_data.lstrip(b"\0")
        if not body.startswith(b"\x1f\x8b"):
            break
    return b"".join(parts)


def _known(label: str) -> str:
    try:
        return encoding_named(label)
    except ValueError:
        return ""


def _declared(body: bytes) -> str:
    head = body[:_HEAD_BYTES]
    if b"<!--" in head:
        head = _COMMENT.sub(b" ", head)
    found = _META.search(head) or _XML.match(head)
    name = _known(found[1].decode("ascii", "replace")) if found else ""
    return "utf-8" if name.startswith("utf-16") else name


def decodes(body: bytes) -> bool:
    """Whether the bytes are UTF-8."""
    try:
        body.decode("utf-8")
    except UnicodeError:
        return False
    return True


def _in_utf8(body: bytes, encoding: str) -> bytes:
    if encoding != "utf-8" or not decodes(body):
        body = body.decode(encoding, "replace").encode("utf-8", "replace")
    return body.replace(b"\0", b"") if b"\0" in body else body
