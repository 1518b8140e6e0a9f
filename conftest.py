"""Of every test: no doctests of kernels without Triton, and no time limit per example, as machines are busy."""

from importlib.util import find_spec

from hypothesis import settings

collect_ignore = [] if find_spec("triton") else ["src/wcord/contrast/kernel.py", "src/wcord/transport/kernel.py"]

settings.register_profile("wcord", deadline=None)
settings.load_profile("wcord")
