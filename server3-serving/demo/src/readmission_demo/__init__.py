"""The whole life of a model on one machine: start the three servers on loopback and show what they do."""
