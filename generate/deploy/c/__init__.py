"""Networks as C99 that needs no library: written, compiled and run.

`write_c` takes a network in integers (`generate.deploy.integer.integer_network`) or in floats (`float_network`).
"""

from generate.deploy.c.compiler import Compiled, Timed, compile_and_run, measure
from generate.deploy.c.cortex_m import Footprint, emulate, footprint
from generate.deploy.c.network import FloatNetwork, float_network
from generate.deploy.c.program import Storage
from generate.deploy.c.write import write_c

__all__ = [
    "Compiled",
    "FloatNetwork",
    "Footprint",
    "Storage",
    "Timed",
    "compile_and_run",
    "emulate",
    "float_network",
    "footprint",
    "measure",
    "write_c",
]
