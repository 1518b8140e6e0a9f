from .analysis import Analysis as Analysis
from .html import load_run as load_run
from .html import write_report as write_report
from .record import Record as Record
