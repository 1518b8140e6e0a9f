"""`python -m wcord.cli`, which launchers of several processes need."""

import sys

from wcord.cli.entry import main

if __name__ == "__main__":
    sys.exit(main())
