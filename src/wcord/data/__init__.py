"""What a batch is and where it comes from; this is the order in which a batch is made.

`config` says what is opened and `opening` opens it: a row of `sources.registry` names the reader, which returns a
`samples.Source`. `pairing` finds the partner of each sample in the teacher's data, `choice` takes subsets and held-out
parts, and `assemble` turns the chosen samples into a `dataset.DataSet`. Its splits (`split`) hold decoded images in
memory or decode them when they are read (`images`, `memory`, `workers`) from files or tables (`stores`). `loader`
draws the order of an epoch, reads the rows, augments (`augment`, `mixing`) and applies the view of each network
(`view`): that is a `batch.Batch`. Beside this path are `labels`, `label_values` and `class_weights` (from labels to
class numbers), `names`, `walk`, `formats` and `limits` (files), `contents` (have the data changed since a run began?)
and `records` (single pictures, sounds and rows for prediction).
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
