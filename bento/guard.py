"""Who may ask what: bearer tokens with roles, on every route but /livez."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from hashlib import sha256

from bento.asked import Refused
from perennial.errors import InputError

ROLES = ("predict", "truth", "admin")
OPEN = frozenset(("/livez",))
OF_ROLE = {
    "/predict": "predict",
    "/forecast": "predict",
    "/truth": "truth",
    "/observe": "truth",
    "/journal": "truth",
    "/metrics": "admin",
    "/schema.json": "admin",
}
"""The role that a route needs; a token of any role may read what is not named here, and `admin` may do all."""
SHORTEST = 16


class Guard:
    """Lets requests through that carry a token of the right role; without tokens, all.

    Only digests are kept, and every one is compared in constant time (see `hmac.compare_digest`).

    Args:
        tokens: the secret of each role that has one.

    Raises:
        InputError: where a secret is too short to be one, or the same for two roles.
    """

    def __init__(self, tokens: Mapping[str, str]) -> None:
        for role, token in tokens.items():
            if len(token) < SHORTEST or not token.isascii() or any(c.isspace() for c in token):
                raise InputError(
                    f"expected the token of {role} to have {SHORTEST} ASCII characters or more without blanks, found "
                    "another; make one with `openssl rand -hex 32`"
                )
        if len(set(tokens.values())) < len(tokens):
            raise InputError("expected a token of its own for every role, found one for two; make another")
        self._digests = {role: sha256(token.encode()).digest() for role, token in tokens.items()}

    @property
    def is_shut(self) -> bool:
        """Whether callers must say who they are."""
        return bool(self._digests)

    def check(self, path: str, headers: Mapping[bytes, bytes]) -> None:
        """Return if the request may go on; raises Refused with 401 or 403 where it may not."""
        if not self._digests or path in OPEN:
            return
        scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
        given = sha256(token.strip()).digest() if scheme.lower() == b"bearer" else b""
        roles = [role for role, digest in self._digests.items() if hmac.compare_digest(digest, given)]
        if not roles:
            raise Refused(
                401,
                "unauthorized",
                "expected Authorization: Bearer with a token of this service, found none that it knows",
                headers=((b"www-authenticate", b"Bearer"),),
            )
        needed = OF_ROLE.get(path)
        if needed is not None and needed not in roles and "admin" not in roles:
            raise Refused(
                403, "forbidden", f"expected a token of the role {needed} for {path}, found one of {roles[0]}"
            )


def variable(role: str) -> str:
    """The environment variable that holds a role's token.

    >>> variable("predict")
    'PERENNIAL_TOKEN_PREDICT'
    """
    return f"PERENNIAL_TOKEN_{role.upper()}"


def tokens_in(environment: Mapping[str, str]) -> dict[str, str]:
    """The tokens that an environment holds, by role."""
    return {role: environment[variable(role)] for role in ROLES if environment.get(variable(role))}
