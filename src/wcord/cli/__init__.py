"""The command line: parse, call, print; one line and an exit code for a mistake. Imports torch only to do work."""

from wcord.cli.entry import COMMANDS as COMMANDS
from wcord.cli.entry import main as main
