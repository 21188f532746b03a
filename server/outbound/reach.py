"""Where a webhook may connect to: the outside, and inner addresses only where `outbound.yaml` allows them by name.

What counts is the address that is really connected to. A name is resolved once, every address it stands for is checked,
and the connection goes to one that was checked, not to the name: a name that changes its mind in between (DNS
rebinding) gains nothing.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

import httpcore

from qc.errors import InvalidInput

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

NAMED_ONLY: tuple[Network, ...] = tuple(
    ip_network(text)
    for text in ("169.254.0.0/16", "fe80::/10", "fd00:ec2::254/128", "100.100.100.200/32", "168.63.129.16/32")
)
"""Link-local addresses and the metadata services of clouds: an allowed host name does not open them, only they
themselves in the list do."""

_NAT64 = ip_network("64:ff9b::/96")


class NotReachable(InvalidInput):
    """An address that webhooks may not go to."""


@dataclass(frozen=True, slots=True)
class Allowed:
    """Inner hosts that may be called."""

    names: frozenset[str] = frozenset()
    """Host names in lower case."""
    networks: tuple[Network, ...] = ()

    def named(self, host: str) -> bool:
        """Is the host itself in the list, by name or as an address?"""
        if host.lower().rstrip(".") in self.names:
            return True
        try:
            return self._listed(ip_address(host))
        except ValueError:
            return False

    def check(self, host: str, address: Address) -> None:
        """Raises NotReachable where `host`, which resolved to `address`, may not be connected to."""
        real = unwrapped(address)
        if self._listed(address) or self._listed(real):
            return
        if any(real in network for network in NAMED_ONLY if network.version == real.version):
            raise NotReachable(
                f"{host} leads to {address}, a link-local or metadata address; only that address itself under `allow` "
                "opens it"
            )
        if is_inner(real) and host.lower().rstrip(".") not in self.names:
            raise NotReachable(
                f"{host} leads to the inner address {address}; put {host} under `allow` if that is meant"
            )

    def _listed(self, address: Address) -> bool:
        return any(address in network for network in self.networks if network.version == address.version)


def allowed_hosts(entries: Iterable[str]) -> Allowed:
    """The list in the file: host names, addresses, and networks such as 10.20.0.0/16.

    Raises:
        InvalidInput: an entry is none of these.
    """
    names, networks = set[str](), list[Network]()
    for entry in entries:
        try:
            networks.append(ip_network(entry, strict=True))
            continue
        except ValueError as error:
            if "/" in entry:
                raise InvalidInput(f"allow: {entry} is no network ({error})") from error
        if not entry or any(not (c.isalnum() or c in "-._") for c in entry) or entry.replace(".", "").isdigit():
            raise InvalidInput(f"allow: {entry!r} is neither a host name nor an address nor a network")
        names.add(entry.lower().rstrip("."))
    return Allowed(frozenset(names), tuple(networks))


def unwrapped(address: Address) -> Address:
    """The IPv4 address that an IPv6 address stands for (mapped, 6to4, Teredo, NAT64), or itself."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address.sixtofour is not None:
            return address.sixtofour
        if address.teredo is not None:
            return address.teredo[1]
        if address in _NAT64:
            return IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def is_inner(address: Address) -> bool:
    """Loopback, private, link-local, shared, reserved, multicast: all that is not the public internet."""
    return (
        not address.is_global
        or address.is_multicast
        or address.is_reserved
        or address.is_unspecified
        or any(address in network for network in NAMED_ONLY if network.version == address.version)
    )


class CheckedNetwork(httpcore.NetworkBackend):
    """Connects to checked addresses only, and lets nothing take longer than until its deadline."""

    def __init__(self, allowed: Allowed, within_s: float) -> None:
        """
        Args:
            within_s: seconds from now for everything: connecting, sending, and each piece of the answer.
        """
        self._allowed = allowed
        self._until = time.monotonic() + within_s

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError(f"the name {host} is not known ({error})") from error
        addresses = list(dict.fromkeys(str(place[4][0]) for place in found))
        for address in addresses:
            self._allowed.check(host, ip_address(address))
        failure: Exception = httpcore.ConnectError(f"{host} has no address")
        for address in addresses:
            try:
                stream = httpcore.SyncBackend().connect_tcp(
                    address, port, _left(self._until), local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
                continue
            return _Timed(stream, self._until)
        raise failure

    def connect_unix_socket(self, *_: Any, **__: Any) -> httpcore.NetworkStream:
        raise NotReachable("webhooks do not go to sockets of this machine")


class _Timed(httpcore.NetworkStream):
    """A stream on which nothing lasts longer than until a moment: a receiver that drips does not hold the sender."""

    def __init__(self, stream: httpcore.NetworkStream, until: float) -> None:
        self._stream, self._until = stream, until

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _left(self._until))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _left(self._until))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return _Timed(self._stream.start_tls(ssl_context, server_hostname, _left(self._until)), self._until)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _left(until: float) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise httpcore.ReadTimeout("no answer in time")
    return left
