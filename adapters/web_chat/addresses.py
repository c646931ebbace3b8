"""Addresses of the internet, told from those of our own network."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

#: Networks whose addresses carry one of IPv4 in their last 32 bits (RFC 6052, RFC 8215).
TRANSLATED = (ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("64:ff9b:1::/48"))
#: Ends of names that lead nowhere else (RFC 6761, RFC 6762, RFC 8375, RFC 9476).
OWN_NAMES = ("localhost", "local", "internal", "home.arpa", "alt", "onion")


class Forbidden(Exception):
    """A name leads to an address that is not public."""


def is_public(address: str) -> bool:
    """Whether *address* belongs to a host on the internet, and neither to this machine nor to its
    network; False for what is no address."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if any(ip in network for network in TRANSLATED):
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFF_FFFF)
        if inner is not None:
            return is_public(str(inner))
    return ip.is_global and not ip.is_multicast


def fault_of(url: str, *, reaches_all: bool) -> str:
    """What keeps *url* from being called; empty where nothing does that can be seen yet."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return "is no address"
    if parts.scheme not in ("http", "https") or not host or port == 0:
        return "must begin with https:// or http:// and name a host"
    if parts.username is not None or any(ord(each) <= 0x20 or ord(each) > 0x7E for each in url):
        return "must be plain ASCII, without a user name"
    if reaches_all:
        return ""
    labels = host.rstrip(".").lower()
    is_own = any(labels == name or labels.endswith(f".{name}") for name in OWN_NAMES)
    # Digits alone are an address in an old notation, which resolvers still read.
    is_address = ":" in host or labels.rpartition(".")[2].isdigit() or labels.startswith("0x")
    if is_own or (is_address and not is_public(host)):
        return "leads into a private network, where nothing is sent"
    return ""
