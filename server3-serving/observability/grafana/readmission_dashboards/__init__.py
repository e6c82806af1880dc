"""The Grafana dashboards, as a program that writes their JSON."""
