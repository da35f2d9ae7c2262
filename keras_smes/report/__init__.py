"""A page about runs: their figures side by side, in one HTML file that needs nothing else.

`collect` reads folders of runs and of experiments, `figures` draws them, `svg` fits the drawings into a page,
`page` writes it. Needs the extra `viz`.
"""

from keras_smes.report.collect import Group, Run, collect
from keras_smes.report.page import write_report

__all__ = ["Group", "Run", "collect", "write_report"]
