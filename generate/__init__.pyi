from .calls import model as model
from .calls import search as search
from .calls import sweep as sweep

__all__: list[str]
