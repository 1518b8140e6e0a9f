"""Suites of runs: pairs × methods × seeds, run by any number of processes, recorded and tabulated.

Reading guide, in the order in which a suite passes through the modules:
`suite` reads a suite's TOML file; `rows` turns it into runs with names, folders and configurations.
`runner` is a worker: it claims one run after the other (`wcord.claim`), with `teachers` before them.
`state` reads from a run's folder how far it has come; `status` sums that up.
`entries` are the finished runs, read from their folders or from the records under version control.
`results` groups and compares them, with `statistics` and `published` numbers; `tables` writes the result as Markdown,
CSV and HTML.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
