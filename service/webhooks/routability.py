"""Public addresses: globally routable unicast, including embedded IPv4 addresses.

For an IPv6 address that embeds an IPv4 address the latter decides, because a translator or tunnel
on the way delivers to it. The tables are IANA's special-purpose address registries (RFC 6890) as of
2025; the results of ``ipaddress.is_global`` differ between releases of Python.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

__all__ = ["is_public"]

_SPECIAL_IPV4 = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this network, RFC 791
        "10.0.0.0/8",  # private use, RFC 1918
        "100.64.0.0/10",  # shared address space of carriers, RFC 6598
        "127.0.0.0/8",  # loopback, RFC 1122
        "169.254.0.0/16",  # link local, and clouds' metadata services, RFC 3927
        "172.16.0.0/12",  # private use, RFC 1918
        "192.0.0.0/24",  # protocol assignments, RFC 6890
        "192.0.2.0/24",  # documentation, RFC 5737
        "192.31.196.0/24",  # AS112, RFC 7535
        "192.52.193.0/24",  # automatic multicast tunneling, RFC 7450
        "192.88.99.0/24",  # relays of 6to4, RFC 7526
        "192.168.0.0/16",  # private use, RFC 1918
        "192.175.48.0/24",  # AS112, RFC 7534
        "198.18.0.0/15",  # benchmarks, RFC 2544
        "198.51.100.0/24",  # documentation, RFC 5737
        "203.0.113.0/24",  # documentation, RFC 5737
        "224.0.0.0/4",  # multicast, RFC 5771
        "240.0.0.0/4",  # reserved, and broadcast, RFC 1112
    )
)
_UNICAST = IPv6Network("2000::/3")
"""The range that IANA allocates to networks; it has no loopback, local or multicast address."""
_SPECIAL_IPV6 = tuple(
    IPv6Network(network)
    for network in (
        "2001::/23",  # protocol assignments: Teredo, benchmarks, ORCHID, AMT, RFC 2928
        "2001:db8::/32",  # documentation, RFC 3849
        "2620:4f:8000::/48",  # AS112, RFC 7534
        "3fff::/20",  # documentation, RFC 9637
    )
)
_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052; 64:ff9b:1::/48 is for local use, RFC 8215
_ISATAP = 0x5EFE  # RFC 5214: an interface identifier 0[02]00:5efe and an IPv4 address


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether an address and the IPv4 addresses embedded in it are globally routable unicast."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _SPECIAL_IPV4)
    if address.scope_id is not None:
        return False
    if address.ipv4_mapped is not None:  # the operating system connects by IPv4
        return is_public(address.ipv4_mapped)
    if address in _NAT64:
        return is_public(_last_ipv4(address))
    if address not in _UNICAST or any(address in network for network in _SPECIAL_IPV6):
        return False
    embedded = [address.sixtofour] if address.sixtofour is not None else []
    if (int(address) >> 32) & 0xFDFF_FFFF == _ISATAP:
        embedded.append(_last_ipv4(address))
    return all(map(is_public, embedded))


def _last_ipv4(address: IPv6Address) -> IPv4Address:
    """The IPv4 address in the last 32 bits."""
    return IPv4Address(address.packed[-4:])
