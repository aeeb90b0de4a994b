"""The verbs of `dnisnm`, each a few lines over the API, below its own options; `verbs` says in which file.

May import everything. Results go to standard output, progress and errors to standard error. Exit code 0:
done; 1: an error, told in one sentence, an equality or a design rule that does not hold, or a target that was
missed; 2: a command line not understood.
"""

from dnisnm_lava.cli.entry import main
from dnisnm_lava.cli.names import BITS, BITS_TRIED, EXPLAINED_IMAGES, FRONT, NET, PRECISION, TOLERANCE, TUNING
from dnisnm_lava.cli.values import _bytes, _range
from dnisnm_lava.cli.verbs import VERBS

__all__ = [
    "BITS",
    "BITS_TRIED",
    "EXPLAINED_IMAGES",
    "FRONT",
    "NET",
    "PRECISION",
    "TOLERANCE",
    "TUNING",
    "VERBS",
    "_bytes",
    "_range",
    "main",
]
