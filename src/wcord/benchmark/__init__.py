"""Suites of runs: pairs × methods × seeds, run by any number of processes, recorded and tabulated.

The way through the modules:
`suite_file` reads a `suite`; `rows` says which runs it means, and `recipe` prints one of them.
`runner` is a worker: it goes through the rows, with `teachers` before them, and `attempt` makes one run.
`claim` keeps a run for one process; `state` tells from its folder how far it is, `status` sums that up.
`entries` are the settled runs, read from their folders or from `committed` records.
`results` groups and compares them, with `statistics`, `published` numbers and `provenance`.
`wording` puts that in words, which `tables` and `page` write as Markdown, CSV and HTML.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
