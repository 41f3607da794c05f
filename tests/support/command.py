"""Calls the command line in this process."""

import pytest

from posecli.cli.app import main


def call(capfd, *arguments: object) -> tuple[int, str, str]:
    """(exit code, stdout, stderr) of a command in this process."""
    with pytest.raises(SystemExit) as end:
        main([str(a) for a in arguments])
    out, err = capfd.readouterr()
    return int(end.value.code or 0), out, " ".join(err.split())
