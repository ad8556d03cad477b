"""Dense layers whose gradient is fast on a CPU."""

from functools import partial

import flax.linen as nn

from jdl.ops.dense import dot_general

# nn.Dense, with the same parameters.
Dense = partial(nn.Dense, dot_general=dot_general)
