"""What Loihi 2 and Lava can hold, each with its public source; the documents of the hardware itself are not
public.

NOTEBOOKS are those of lava-dl's repository (github.com/lava-nc/lava-dl, tutorials/lava/lib/dl/netx/), whose
cells show what Intel's compiler printed; S4D is one more,
src/lava/lib/dl/slayer/state_space_models/sCIFAR/profiling_scripts/num_cores_estimate.ipynb at commit
7f67ec0b782f7d95f2ab5bd4c948251a370a7830. The other files are those of the packages lava-nc 0.10.0 and lava-dl
0.6.0. *Fitted* is what no source states, and what explains the printed tables (docs/resources.md).
"""

from __future__ import annotations

from dnisnm_lava.ir.fixedpoint import MESSAGE_BITS, STATE_BITS, WEIGHT_BITS, FixedPointFormat

# ---------------------------------------------------------------- numbers

WEIGHT = FixedPointFormat(WEIGHT_BITS)  # lava/utils/weightutils.py:204: at most 8 bits, one of them the sign
STATE = FixedPointFormat(
    STATE_BITS
)  # lava/proc/lif/models.py:80 and :176: u and v have 24 bits, and saturate
MESSAGE = FixedPointFormat(
    MESSAGE_BITS
)  # lava/magma/core/model/spike_type.py:14: GRADED24_SPIKE is the widest

# ---------------------------------------------------------------- time and shapes

DELAY_STEPS = 62  # lava/lib/dl/netx/hdf5.py:427 clamps longer ones
CONV_GROUPS = 127  # lava/proc/conv/models.py:29: int8; Lava's own Conv sends zeros from 128 on
CONV_COLUMNS = (
    256  # NOTEBOOK yolo_kp/run.ipynb: spikes from x = 256 n - 1 "and its neighbours might get dropped"
)

# ---------------------------------------------------------------- a core, and a chip

CORES_PER_CHIP = 128  # lava/magma/compiler/subcompilers/constants.py:9
INPUT_AXONS = 16_000  # S4D: 4,096 axons are 25.60 %, 256 are 1.60 %
# of 64 bits. NOTEBOOK yolo_kp/run.ipynb: only of 16,000 are its percentages whole words (19.20 % = 3,072)
SYNAPSE_WORDS = 16_000
# NOTEBOOKS pilotnet_snn, pilotnet_sdnn, oxford: registers['SynMem'], above which layers are cut further
SYNAPSE_WORDS_CUT = 12_000
# of 64 bits. NOTEBOOK yolo_kp: 3,584 neurons are 87.52 %; pilotnet_snn is cut where a tile would hold 4,096
STATE_WORDS = 4_095

WORD_BITS = (
    64  # github.com/OzU-CAST/LoihiScalingEfficiency, README: "CxStates are implemented as 64 bit SRAM fields"
)
INDEX_BITS = 11  # fitted: of a synapse that no kernel shares, beside its weight
# fitted: of single synapses of one axon. S4D, Oxford: 256 neurons take 3 cores; S4D: the fullest has 127
# (3.10 %)
LIST_SYNAPSES = 127
LIST_HEADER_BITS = 12  # fitted: of a list of single synapses; 0 to 12 explain all tables
HEADER_BITS = 21  # fitted: of a list of a kernel's weights; 17 to 48 explain all tables
CONV_AXONS = 2  # NOTEBOOKS: a convolution takes 1 or 2 input axons a core, however many neurons it reads
