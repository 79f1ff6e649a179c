from .files import figure as figure
from .files import write_figure as write_figure
from .files import write_report as write_report

__all__: list[str]
