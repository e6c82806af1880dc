#!/usr/bin/python3
"""Stand-in for Docker's client after the build (also a stand-in): accepts exactly these arguments."""

import sys
import time
from pathlib import Path

TAKEN = [
    ["image", "prune", "--all", "--force", "--filter", "until=336h"],
    ["builder", "prune", "--force", "--filter", "until=336h"],
]
with Path("/var/lib/stand-in/calls").open("a") as calls:
    calls.write(" ".join([str(time.monotonic_ns()), "docker", *sys.argv[1:]]) + "\n")
if sys.argv[1:] not in TAKEN:
    sys.exit(f"stand-in docker cannot {sys.argv[1:]}")
sys.stdout.write("Total reclaimed space: 0B\n" if sys.argv[1] == "image" else "Total:\t0B\n")
