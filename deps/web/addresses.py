"""Which addresses are public: IANA's special-purpose registries, and what IPv6 may hide.

The tables are ours, as `ipaddress.is_global` answers differently from one patch release of Python
to the next. Sources: the IANA IPv4 and IPv6 Special-Purpose Address Registries, RFC 6890; RFC 4291
and RFC 6052 for IPv4 addresses inside IPv6 ones; the clouds' own manuals for metadata services.
"""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import TypeAlias

__all__ = ("Address", "Network", "parsed", "why_refused")

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

_IPV4 = tuple(
    (IPv4Network(network), what)
    for network, what in (
        ("0.0.0.0/8", "this host"),
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "a carrier's own"),
        ("127.0.0.0/8", "loopback"),
        ("169.254.0.0/16", "link-local"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "for protocols"),
        ("192.0.2.0/24", "for documentation"),
        ("192.31.196.0/24", "for protocols"),
        ("192.52.193.0/24", "for protocols"),
        ("192.88.99.0/24", "a 6to4 relay"),
        ("192.168.0.0/16", "private"),
        ("192.175.48.0/24", "for protocols"),
        ("198.18.0.0/15", "for benchmarks"),
        ("198.51.100.0/24", "for documentation"),
        ("203.0.113.0/24", "for documentation"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
    )
)

_IPV6_UNICAST = IPv6Network("2000::/3")
"""All of IPv6 that is given to the public; what lies outside needs no table."""

_IPV6 = tuple(
    (IPv6Network(network), what)
    for network, what in (
        ("2001::/32", "a Teredo tunnel"),
        ("2001::/23", "for protocols"),
        ("2001:db8::/32", "for documentation"),
        ("2002::/16", "a 6to4 tunnel"),
        ("2620:4f:8000::/48", "for protocols"),
        ("3fff::/20", "for documentation"),
    )
)

_NAT64 = IPv6Network("64:ff9b::/96")
_ISATAP = (b"\x00\x00\x5e\xfe", b"\x02\x00\x5e\xfe")  # RFC 5214: then comes an IPv4 address

_METADATA = frozenset(
    ip_address(text)
    for text in (
        "169.254.169.254",  # AWS, Azure, Google, Oracle, OpenStack, and most others
        "169.254.170.2",  # AWS: credentials of a container
        "169.254.170.23",  # AWS: identity of a pod
        "169.254.42.42",  # Scaleway
        "168.63.129.16",  # Azure's platform: an address that is public otherwise
        "100.100.100.200",  # Alibaba
        "192.0.0.192",  # Oracle, classic
        "fd00:ec2::254",  # AWS
        "fd00:ec2::23",  # AWS: identity of a pod
        "fd20:ce::254",  # Google
        "fd00:42::42",  # Scaleway
    )
)


def parsed(text: str) -> Address | None:
    """Return the address that a text is, without its zone; None if it is none."""
    try:
        found = ip_address(text)
    except ValueError:
        return None
    # A zone is part of an address's equality, so with one no address would be in a table.
    return IPv6Address(found.packed) if isinstance(found, IPv6Address) else found


def why_refused(address: Address, exempt: tuple[Network, ...] = ()) -> str | None:
    """Say what an address is that may not be reached; None for one that may.

    Args:
        address: An address without zone.
        exempt: Networks that may be reached although they are not public. A metadata service
            inside them still may not: it hands out credentials.
    """
    address = _inner(address)
    if address in _METADATA:
        return "a cloud's metadata service"
    if any(address in network for network in exempt):
        return None
    if isinstance(address, IPv4Address):
        return next((what for network, what in _IPV4 if address in network), None)
    if address not in _IPV6_UNICAST:
        return "not public"
    if address.packed[8:12] in _ISATAP:
        return "an ISATAP tunnel"
    return next((what for network, what in _IPV6 if address in network), None)


def _inner(address: Address) -> Address:
    """Return the IPv4 address to which an IPv6 one leads on every network, if it is such a one."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(address.packed[12:])
    return address.ipv4_mapped or address
