"""Reports: runs side by side, in one self-contained HTML file. Needs the extra `viz`."""

from keras_smes import viz  # noqa: F401  (first, for one clear error if the extra is missing)
from keras_smes.report.collect import Group, Run, collect
from keras_smes.report.page import write_report

__all__ = ["Group", "Run", "collect", "write_report"]
