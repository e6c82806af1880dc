"""Stand-in for the image build: records its arguments in the unpacked sources."""

import sys
import time
from pathlib import Path

if not Path("server2-tracking").is_dir():
    sys.exit("not in the release's sources")
with Path("/var/lib/stand-in/calls").open("a") as calls:
    calls.write(" ".join([str(time.monotonic_ns()), "build", *sys.argv[1:]]) + "\n")
