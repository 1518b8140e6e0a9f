"""The command line: each command parses its settings, calls the API and prints. Imports torch only to do work."""

from wcord.cli.entry import COMMANDS as COMMANDS
from wcord.cli.entry import main as main
