"""Training: sweeps, searches and the network itself, from Python as from the command line.

`search`, `sweep` and `model` do what the commands do. `generate.protocol` says what is trained, `generate.datasets` on
what.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
