"""Logs that are known by name, and a simulator.

KuaiRand and MovieLens-100K have loaders, since a `Log` can't declare what they need: columns of given types,
whose errors name a row; features made of several columns; repeated impressions counted apart from exact
duplicates; and features that leak, if allowed. On disk, side tables are joined to one part at a time, so that
only the narrow log of KuaiRand is sorted.
"""
