"""The command line: parse, call one public function, render, exit."""

from edgeseg.cli.app import main

__all__ = ["main"]
