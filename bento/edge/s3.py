"""Addresses of S3 objects that carry their own permission, by AWS Signature Version 4 in the query."""

from __future__ import annotations

import hashlib
import hmac
import urllib.parse
from datetime import datetime

ALGORITHM = "AWS4-HMAC-SHA256"


def presigned(
    url: str, key: str, secret: str, region: str, now: datetime, within_s: int = 3600, session: str = ""
) -> str:
    """The address with which a plain GET may read the object at `url` until `within_s` seconds after `now` (UTC).

    Follows "Authenticating Requests: Using Query Parameters" of the S3 API reference. S3 and the stores that speak
    its language accept it; `url` is already quoted.
    """
    parts = urllib.parse.urlsplit(url)
    moment, day = now.strftime("%Y%m%dT%H%M%SZ"), now.strftime("%Y%m%d")
    scope = f"{day}/{region}/s3/aws4_request"
    query = {
        "X-Amz-Algorithm": ALGORITHM,
        "X-Amz-Credential": f"{key}/{scope}",
        "X-Amz-Date": moment,
        "X-Amz-Expires": str(within_s),
        **({"X-Amz-Security-Token": session} if session else {}),
        "X-Amz-SignedHeaders": "host",
    }
    asked = urllib.parse.urlencode(sorted(query.items()), quote_via=urllib.parse.quote, safe="~")
    canonical = f"GET\n{parts.path}\n{asked}\nhost:{parts.netloc}\n\nhost\nUNSIGNED-PAYLOAD"
    text = f"{ALGORITHM}\n{moment}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    signing = f"AWS4{secret}".encode()
    for part in (day, region, "s3", "aws4_request"):
        signing = hmac.new(signing, part.encode(), "sha256").digest()
    signature = hmac.new(signing, text.encode(), "sha256").hexdigest()
    return urllib.parse.urlunsplit(
        (parts.scheme, parts.netloc, parts.path, f"{asked}&X-Amz-Signature={signature}", "")
    )
