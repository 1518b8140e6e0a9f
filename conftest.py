"""What pytest leaves out of the doctests: kernels, which need Triton, where there is none."""

from importlib.util import find_spec

collect_ignore = [] if find_spec("triton") else ["src/wcord/contrast/kernel.py", "src/wcord/transport/kernel.py"]
