"""Every listed method can be built, and the list itself stays light."""

import subprocess
import sys

from wcord.methods.build import option_names
from wcord.methods.catalogue import METHODS


def test_options_that_a_name_presets_exist_in_its_loss() -> None:
    for name, info in METHODS.items():
        assert set(info.options) <= set(option_names(name)), name


def test_listing_does_not_import_torch() -> None:
    code = "import sys, wcord.cli, wcord.methods.catalogue, wcord.models.catalogue; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
