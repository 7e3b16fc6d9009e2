"""Secrets in text: private keys, tokens of well-known makers, random-looking values under a secret's name."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

PATTERNS = {
    "a private key": re.compile(r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----"),
    "an AWS access key": re.compile(r"\b(?:AKIA|ASIA)(?!\w*EXAMPLE)[A-Z2-7]{16}\b"),
    "a GitHub token": re.compile(r"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{60,})\b"),
    "a GitLab token": re.compile(r"\bglpat-[A-Za-z0-9_-]{20,}"),
    "a Slack token": re.compile(r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}"),
    "a Slack web hook": re.compile(r"hooks\.slack\.com/services/T[A-Z0-9]+/B[A-Z0-9]+/[A-Za-z0-9]{20,}"),
    "a Google API key": re.compile(r"\bAIza[A-Za-z0-9_-]{35}\b"),
    "a Stripe key": re.compile(r"\b[rs]k_live_[A-Za-z0-9]{20,}"),
    "a JSON web token": re.compile(r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}"),
}
VALUES = {
    "a password in an address": re.compile(r"://[^\s:/@'\"{}$<>]+:([^\s:/@'\"{}$<>]{8,})@[^\s'\"]"),
    "a random-looking value under a secret's name": re.compile(
        r"(?i)(?:secret|token|password|passwd|api_?key|access_?key|credential)[\w-]*['\"]?\s*[:=]\s*['\"]?"
        r"([A-Za-z0-9+/_=.~-]{16,})"
    ),
}
"""Patterns whose group is a secret only if it looks random: else it stands for one, as `password` does."""
LEAST_SIGNS, LEAST_BITS = 12, 3.0
"""Of one piece without dashes, underscores and dots: words and names are shorter, or have no digit."""

COUNTED = "0123456789abcdef"
"""What tests and examples put in a secret's place; it opens nothing."""


@dataclass(frozen=True)
class Found:
    """A secret in a line, counted from 1; the secret itself is not told."""

    line: int
    what: str


def bits(text: str) -> float:
    """Shannon entropy per sign (Shannon 1948, equation of section 6)."""
    return -sum(n / len(text) * math.log2(n / len(text)) for n in Counter(text).values())


def found_in(text: str) -> Iterator[Found]:
    """Every secret in a text, in order of lines."""
    for number, line in enumerate(text.splitlines(), 1):
        yield from (Found(number, what) for what, pattern in PATTERNS.items() if pattern.search(line))
        yield from (
            Found(number, what)
            for what, pattern in VALUES.items()
            if any(looks_random(value) for value in pattern.findall(line))
        )


def looks_random(value: str) -> bool:
    """Whether a piece of a value is long, has letters and digits, and repeats itself little."""
    return any(
        len(piece) >= LEAST_SIGNS
        and any(sign.isdigit() for sign in piece)
        and any(sign.isalpha() for sign in piece)
        and bits(piece) >= LEAST_BITS
        for piece in re.split(r"[-_.]", value.replace(COUNTED, ""))
    )
