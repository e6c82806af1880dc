"""Questions about IPv4 networks."""

import ipaddress
from collections.abc import Callable, Iterable


def in_networks(address: str, networks: Iterable[str]) -> bool:
    """Tell whether `address` is in one of `networks` (CIDR). What is none of these raises `ValueError`."""
    own = ipaddress.ip_address(address)
    return any(own in ipaddress.ip_network(network) for network in networks)


def merged_networks(networks: Iterable[str]) -> list[str]:
    """Write `networks` (addresses or CIDR) without overlaps, sorted: nftables refuses a set that has some."""
    parsed = [ipaddress.IPv4Network(network) for network in networks]
    return [
        str(network.network_address) if network.prefixlen == network.max_prefixlen else str(network)
        for network in ipaddress.collapse_addresses(parsed)
    ]


class FilterModule:
    """What Ansible asks a filter plugin for."""

    def filters(self) -> dict[str, Callable[..., object]]:
        """Give the filters by name."""
        return {"in_networks": in_networks, "merged_networks": merged_networks}
