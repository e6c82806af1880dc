"""`python -m readmission_data`."""

import sys

from readmission_data.cli import main

sys.exit(main())
