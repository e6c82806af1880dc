"""The connections between pods that the NetworkPolicies allow."""

from collections.abc import Iterator, Sequence
from ipaddress import ip_address, ip_network

from manifests.support.objects import Object, Workload, of_kind, selects, workloads

GENERAL = {"default-deny", "dns"}
Flow = tuple[str, str, int]


class Network:
    """The policies of one namespace."""

    def __init__(self, objects: Sequence[Object]) -> None:
        self._objects = objects
        self._policies = of_kind(objects, "NetworkPolicy")

    def named_policies(self, workload: Workload) -> list[str]:
        """Return the policies that name a flow of these pods."""
        return [
            one["metadata"]["name"]
            for one in self._policies
            if one["metadata"]["name"] not in GENERAL and selects(one["spec"]["podSelector"], workload.labels)
        ]

    def flows(self) -> set[Flow]:
        """Return every flow between two workloads that both ends allow."""
        everybody = workloads(self._objects)
        return {
            (source.name, target.name, port)
            for source in everybody
            for target in everybody
            for port in self._egress(source, target) & self._ingress(source, target)
        }

    def outside(self, workload: Workload, host: str) -> set[int]:
        """Return the ports that the pods may reach at an address outside the cluster."""
        address = ip_address(host)
        return {
            port["port"]
            for rule in self._rules(workload, "Egress", "egress")
            for peer in rule["to"]
            if "ipBlock" in peer and address in ip_network(peer["ipBlock"]["cidr"])
            for port in rule["ports"]
        }

    def from_outside(self, workload: Workload) -> set[tuple[str, int]]:
        """Return the networks and ports from which the pods may be reached."""
        return {
            (peer["ipBlock"]["cidr"], port["port"])
            for rule in self._rules(workload, "Ingress", "ingress")
            for peer in rule["from"]
            if "ipBlock" in peer
            for port in rule["ports"]
        }

    def breaches(self) -> Iterator[str]:
        """Return the faults of the policies themselves."""
        deny = [
            one["spec"]
            for one in self._policies
            if one["spec"]["podSelector"] == {}
            and set(one["spec"]["policyTypes"]) == {"Ingress", "Egress"}
            and not one["spec"].get("ingress")
            and not one["spec"].get("egress")
        ]
        if not deny:
            yield "nothing is denied by default"
        for one in self._policies:
            name, spec = one["metadata"]["name"], one["spec"]
            if name not in GENERAL and spec["podSelector"] == {}:
                yield f"{name} opens something to everybody"
            for direction, peers in (("ingress", "from"), ("egress", "to")):
                if spec.get(direction) and direction.capitalize() not in spec["policyTypes"]:
                    yield f"{name}: {direction} is not among its types"
                for rule in spec.get(direction, []):
                    if not rule.get(peers) or not rule.get("ports"):
                        yield f"{name}: a flow without a peer or without a port"
                    elif {} in rule[peers] or {"podSelector": {}} in rule[peers]:
                        yield f"{name}: a peer that is everybody"
            targets = [w for w in workloads(self._objects) if selects(spec["podSelector"], w.labels)]
            if not targets:
                yield f"{name} takes no pod"
        yield from self._services()

    def _services(self) -> Iterator[str]:
        for service in of_kind(self._objects, "Service"):
            name, spec = service["metadata"]["name"], service["spec"]
            behind = [
                workload
                for workload in workloads(self._objects)
                if selects({"matchLabels": spec["selector"]}, workload.labels) and workload.runs
            ]
            if len(behind) != 1:
                yield f"Service {name} leads to {len(behind)} workloads"
                continue
            known = {
                port["name"]: port["containerPort"]
                for container in behind[0].containers
                for port in container.get("ports", [])
            }
            opened = {
                port["port"]
                for rule in self._rules(behind[0], "Ingress", "ingress")
                for port in rule.get("ports", [])
            }
            for port in spec["ports"]:
                if known.get(port["targetPort"]) not in opened:
                    yield f"Service {name}: no policy lets anyone to {port['targetPort']}"

    def _egress(self, source: Workload, target: Workload) -> set[int]:
        return _ports(self._rules(source, "Egress", "egress"), "to", target)

    def _ingress(self, source: Workload, target: Workload) -> set[int]:
        return _ports(self._rules(target, "Ingress", "ingress"), "from", source)

    def _rules(self, workload: Workload, kind: str, field: str) -> list[Object]:
        return [
            rule
            for policy in self._policies
            if kind in policy["spec"]["policyTypes"]
            and selects(policy["spec"]["podSelector"], workload.labels)
            for rule in policy["spec"].get(field, [])
        ]


EVERY_ADDRESS = {"ipBlock": {"cidr": "0.0.0.0/0"}}
"""Admits pods as well, whose addresses it contains."""


def _ports(rules: list[Object], field: str, peer: Workload) -> set[int]:
    return {
        port["port"]
        for rule in rules
        if any(_is_peer(one, peer) for one in rule[field])
        for port in rule["ports"]
    }


def _is_peer(one: Object, peer: Workload) -> bool:
    if one == EVERY_ADDRESS:
        return True
    return (
        "podSelector" in one and "namespaceSelector" not in one and selects(one["podSelector"], peer.labels)
    )
