"""Answers of two parts, as MONAI Label's clients read them."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from typing import Any


def encode(params: Mapping[str, Any], name: str, content: bytes) -> tuple[bytes, str]:
    """Return a multipart body with `params` (JSON) and a file `image`, and its content type.

    >>> body, kind = encode({"a": 1}, "mask.nii.gz", b"123")
    >>> kind.startswith("multipart/form-data; boundary="), b'{"a": 1}' in body
    (True, True)
    """
    boundary = secrets.token_hex(16)
    safe = name.replace('"', "_").replace("\r", "_").replace("\n", "_")
    head = (
        f"--{boundary}\r\n"
        'Content-Disposition: form-data; name="params"\r\n'
        "Content-Type: application/json\r\n\r\n"
        f"{json.dumps(dict(params))}\r\n"
        f"--{boundary}\r\n"
        f'Content-Disposition: form-data; name="image"; filename="{safe}"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    )
    body = head.encode() + content + f"\r\n--{boundary}--\r\n".encode()
    return body, f"multipart/form-data; boundary={boundary}"
