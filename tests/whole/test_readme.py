"""The commands in the README exist."""

import re
import shlex

import pytest
import typer.main

from posecli.cli.app import app
from tests.support.places import ROOT

README = (ROOT / "README.md").read_text()
CARD = (ROOT / "weights" / "README.md").read_text()


def commands(text: str) -> list[str]:
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    inline = re.findall(r"`(posecli [^`]+)`", text)
    indented = [m[1] for line in lines if (m := re.match(r"    (?:\$ )?(posecli .*)", line))]
    return [re.split(r"\s[|>&]", c)[0].strip() for c in indented + inline]


@pytest.mark.parametrize("line", sorted({*commands(README), *commands(CARD)}))
def test_every_command_is_understood(line) -> None:
    group = typer.main.get_command(app)
    _, name, *arguments = shlex.split(line)
    assert name in group.commands, line
    if arguments:  # parses and checks the options without running anything
        group.commands[name].make_context(name, arguments)


def test_every_link_leads_somewhere() -> None:
    for page, folder in ((README, ROOT), (CARD, ROOT / "weights")):
        for target in re.findall(r"\]\(([^)#]+)\)", page):
            assert target.startswith("https://") or (folder / target).exists(), target


def test_the_python_block_compiles() -> None:
    blocks = re.findall(r"```python\n(.*?)```", README, re.S)
    assert blocks
    for block in blocks:
        compile(block, "README.md", "exec")
