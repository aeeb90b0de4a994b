"""`python -m dnisnm_lava`: the command `dnisnm`."""

import sys

from dnisnm_lava.cli import main

sys.exit(main())
