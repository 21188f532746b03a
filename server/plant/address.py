"""A camera's address, which may hold a password: what of it may be told to people."""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit


def shown(url: str) -> str:
    """Scheme, host and path alone; for messages, logs and pictures' names."""
    parts = _split(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{parts.scheme}://{host}{f':{parts.port}' if parts.port else ''}{parts.path}"


def check(url: str) -> str:
    """The address; raises ValueError, without repeating it, where its password would be read as something else."""
    _split(url)
    return url


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        is_clear = bool(parts.hostname) and "@" not in parts.path and (parts.port is None or parts.port > 0)
    except ValueError:  # its words repeat what it could not read
        is_clear = False
    if not is_clear:
        raise ValueError(
            "this is no address of a camera; write scheme://user:password@host:port/path, and what is special in a "
            "user's name or password by its code, such as %40 for @, %2F for / and %23 for #"
        )
    return parts
