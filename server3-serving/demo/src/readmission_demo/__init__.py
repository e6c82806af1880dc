"""The whole life of a model on one machine: starts the three servers on loopback and shows what they do."""
