"""The one reader of configurations: YAML and JSON into typed values, with the line of what is wrong.

`document` reads a file and knows the line of each key; `structure` makes dataclasses of plain values, by
cattrs, and checks options by the types of the functions that take them; `kinds` makes one of several classes
by its `kind`.
"""
