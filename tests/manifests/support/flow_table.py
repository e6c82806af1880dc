"""The tables of flows in docs/architecture.md, written from the network policies: `make flows`."""

import re
from collections.abc import Mapping, Sequence

from manifests.support.kustomize import CHECKOUT, SERVERS, build
from manifests.support.network import Network
from manifests.support.objects import Object, of_kind, workloads

DOCUMENT = CHECKOUT / "docs" / "architecture.md"
SECTION = re.compile(r"(?<=<!-- `make flows` writes from here. -->\n).*?(?=<!-- To here. -->)", re.DOTALL)
# The addresses of the manifests before a site puts in its own.
HOSTS = {
    "server1-data": "192.0.2.11",
    "server2-tracking": "192.0.2.12",
    "server3-serving": "192.0.2.13",
}
ELSEWHERE = "198.51.100.1"
"""An address that no policy names: what a pod reaches there it reaches everywhere."""
EVERYWHERE = {
    frozenset({443, 16443}): "Kubernetes' API",
    frozenset({80, 443}): "the data set's address",
}
NODE_EXPORTER = 9100


def tables() -> str:
    """Return both tables as Markdown: what each pod may reach, and who may reach each node port."""
    built = {server: build(CHECKOUT / server / "deploy") for server in SERVERS}
    ports = {server: node_ports(objects) for server, objects in built.items()}
    lines = ["", "| Server | Pod | reaches on | Service and port |", "|---|---|---|---|"]
    for server, objects in built.items():
        for pod, place, services in _reached(server, objects, ports):
            lines.append(f"| {server} | {pod} | {place} | {services} |")
    lines += ["", "| Server | Node port | leads to | open to |", "|---|---|---|---|"]
    for server, objects in built.items():
        lines += [
            f"| {server} | {port} | {pod} | {_sources(pod, objects)} |"
            for port, pod in sorted(ports[server].items())
        ]
    return "\n".join([*lines, "", ""])


def node_ports(objects: Sequence[Object]) -> dict[int, str]:
    """Return the node ports of a server, each with the pod behind it."""
    return {
        port["nodePort"]: service["spec"]["selector"]["app.kubernetes.io/name"]
        for service in of_kind(objects, "Service")
        if service["spec"].get("type") == "NodePort"
        for port in service["spec"]["ports"]
    }


def _reached(
    server: str, objects: Sequence[Object], ports: Mapping[str, Mapping[int, str]]
) -> list[tuple[str, str, str]]:
    network, rows = Network(objects), []
    flows = network.flows()
    for workload in sorted(workloads(objects), key=lambda one: one.name):
        inside = [f"{target}:{port}" for source, target, port in sorted(flows) if source == workload.name]
        if inside:
            rows.append((workload.name, server, ", ".join(inside)))
        anywhere = network.outside(workload, ELSEWHERE)
        for host, address in HOSTS.items():
            found = sorted(network.outside(workload, address) - anywhere)
            known = ports[host] | {NODE_EXPORTER: "node exporter"}
            if found:
                rows.append((workload.name, host, ", ".join(f"{known[port]}:{port}" for port in found)))
        if anywhere:
            numbers = ", ".join(map(str, sorted(anywhere)))
            rows.append((workload.name, EVERYWHERE.get(frozenset(anywhere), "every address"), numbers))
    return rows


def _sources(pod: str, objects: Sequence[Object]) -> str:
    [workload] = [one for one in workloads(objects) if one.name == pod]
    names = {f"{address}/32": server for server, address in HOSTS.items()}
    names["0.0.0.0/0"] = "clients that the firewall admits"
    return ", ".join(sorted({names[net] for net, _ in Network(objects).from_outside(workload)}))


def main() -> None:
    """Write the tables into the document."""
    DOCUMENT.write_text(SECTION.sub(lambda _: tables(), DOCUMENT.read_text()))


if __name__ == "__main__":
    main()
