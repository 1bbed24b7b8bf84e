"""Addresses against IANA's special-purpose registries, and IPv4 in every form IPv6 wraps it in."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest

from service.webhooks.routability import is_public

# https://www.iana.org/assignments/iana-ipv4-special-registry, and -ipv6-; multicast and site-local
# have registries of their own.
SPECIAL = [
    "0.0.0.0/8",
    "0.0.0.0/32",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.0.0/29",
    "192.0.0.8/32",
    "192.0.0.9/32",
    "192.0.0.10/32",
    "192.0.0.170/32",
    "192.0.0.171/32",
    "192.0.2.0/24",
    "192.31.196.0/24",
    "192.52.193.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "192.175.48.0/24",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "240.0.0.0/4",
    "255.255.255.255/32",
    "224.0.0.0/4",
    "239.0.0.0/8",
    "::1/128",
    "::/128",
    "::ffff:0:0/104",
    "64:ff9b::/104",
    "64:ff9b:1::/48",
    "100::/64",
    "100:0:0:1::/64",
    "2001::/23",
    "2001::/32",
    "2001:1::1/128",
    "2001:1::2/128",
    "2001:1::3/128",
    "2001:2::/48",
    "2001:3::/32",
    "2001:4:112::/48",
    "2001:10::/28",
    "2001:20::/28",
    "2001:30::/28",
    "2001:db8::/32",
    "2002::/24",
    "2620:4f:8000::/48",
    "3fff::/20",
    "5f00::/16",
    "fc00::/7",
    "fd00::/8",
    "fe80::/10",
    "fec0::/10",
    "ff00::/8",
    "::/96",
    "4000::/3",
    "e000::/4",
]


@pytest.mark.parametrize("network", SPECIAL)
def test_special_purpose_network_is_not_public(network: str) -> None:
    known = ip_network(network)
    assert not is_public(known[0])
    assert not is_public(known[-1])
    assert not is_public(known[known.num_addresses // 2])


@pytest.mark.parametrize(
    "address",
    [
        *(
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
        ),
        *("172.15.255.255", "172.32.0.0", "192.0.1.0", "198.17.255.255", "198.20.0.0"),
        *(
            "223.255.255.255",
            "2000::1",
            "2001:200::1",
            "2606:4700::1111",
            "2a00:1450::1",
            "3ffe::1",
        ),
    ],
)
def test_address_of_the_internet_is_public(address: str) -> None:
    assert is_public(ip_address(address))


def wrapped(address: str) -> dict[str, IPv6Address]:
    """An IPv4 address in the forms that are delivered to it."""
    number = int(IPv4Address(address))
    return {
        "mapped": IPv6Address((0xFFFF << 32) | number),
        "NAT64": IPv6Address((0x64FF9B << 96) | number),
        "6to4": IPv6Address((0x2002 << 112) | (number << 80) | 1),
        "ISATAP": IPv6Address((0x26064700 << 96) | (0x5EFE << 32) | number),
        "ISATAP, universal": IPv6Address((0x26064700 << 96) | (0x2005EFE << 32) | number),
    }


@pytest.mark.parametrize("form", wrapped("0.0.0.0"))  # noqa: S104 - for the names of the forms
@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("1.1.1.1", True),
        ("127.0.0.1", False),
        ("10.0.0.1", False),
        ("169.254.169.254", False),
        ("192.88.99.1", False),
        ("224.0.0.1", False),
    ],
)
def test_wrapped_address_is_what_it_wraps(form: str, address: str, expected: bool) -> None:
    assert is_public(wrapped(address)[form]) is expected


@pytest.mark.parametrize(
    "address",
    [
        "::127.0.0.1",
        "::1.1.1.1",
        "64:ff9b:1::101:101",
        "64:ff9b:1:fffe::7f00:1",
        "2001:0:53aa:64c:0:0:80ff:fffe",  # Teredo
        "::ffff:0:127.0.0.1",  # translated, RFC 2765
        "2606:4700::1111%eth0",
    ],
)
def test_other_form_is_never_public(address: str) -> None:
    assert not is_public(ip_address(address))
