from .errors import MinarchError as MinarchError
from .results import Store as Store

__all__: list[str]
