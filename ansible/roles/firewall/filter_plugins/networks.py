"""Filters for IPv4 networks."""

import ipaddress
from collections.abc import Callable, Iterable


def in_networks(address: str, networks: Iterable[str]) -> bool:
    """Return whether `address` is in one of `networks` (CIDR). Raise `ValueError` if one is invalid."""
    own = ipaddress.ip_address(address)
    return any(own in ipaddress.ip_network(network) for network in networks)


def merged_networks(networks: Iterable[str]) -> list[str]:
    """Return `networks` (addresses or CIDR) sorted and without overlaps, which nftables refuses in a set."""
    parsed = [ipaddress.IPv4Network(network) for network in networks]
    return [
        str(network.network_address) if network.prefixlen == network.max_prefixlen else str(network)
        for network in ipaddress.collapse_addresses(parsed)
    ]


class FilterModule:
    """The filters of this file, as Ansible expects them."""

    def filters(self) -> dict[str, Callable[..., object]]:
        """Return the filters by name."""
        return {"in_networks": in_networks, "merged_networks": merged_networks}
