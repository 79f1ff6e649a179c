"""Pictures of a results store: one self-contained HTML page, and single figures.

Names load on first use, as those of `analyze` do.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
