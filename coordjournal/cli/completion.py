"""``completion``: the script that makes a shell complete commands, options, spaces and names."""

from __future__ import annotations

import click

from .base import App, Command, pass_app

# git's own completion calls a function of this name for `git coordjournal ...`, with the words in `words` and `cword`.
_GIT_IN_BASH = """
_git_coordjournal() {
    local start=1
    while [[ ${words[start]} != coordjournal && $start -lt $cword ]]; do
        start=$((start + 1))
    done
    local IFS=$'\\n' line
    for line in $(env COMP_WORDS="${words[*]:start}" COMP_CWORD=$((cword - start)) \\
        _COORDJOURNAL_COMPLETE=bash_complete coordjournal); do
        case "$line" in
            plain,*) COMPREPLY+=("${line#plain,}") ;;
            file,* | dir,*) COMPREPLY+=($(compgen -f -- "${words[cword]}")) ;;
        esac
    done
}
"""


@click.command(
    cls=Command,
    examples=[
        """eval "$(coordjournal completion bash)"                     # in ~/.bashrc""",
        """eval "$(coordjournal completion zsh)"                      # in ~/.zshrc""",
        "coordjournal completion fish > ~/.config/fish/completions/coordjournal.fish",
    ],
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@pass_app
def completion(app: App, shell: str) -> None:
    """Print the completion script for a shell.

    In bash it completes `git coordjournal` too, where git's own completion is loaded.
    """
    from click.shell_completion import get_completion_class

    from .app import COMPLETE_VARIABLE, root

    found = get_completion_class(shell)
    assert found is not None  # click has all three
    app.paper.line(found(root, {}, "coordjournal", COMPLETE_VARIABLE).source())
    if shell == "bash":
        app.paper.line(_GIT_IN_BASH)
