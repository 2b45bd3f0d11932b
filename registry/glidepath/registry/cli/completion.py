"""`glidepath completion`: what makes a shell complete commands, options, presets, kinds and parts.

The script of a shell asks this command for words each time, so that what is installed is what is completed.
"""

from __future__ import annotations

import argparse
import contextlib
import sys

EPILOG = """\
  bash   echo 'source <(glidepath completion bash)' >> ~/.bashrc
  zsh    echo 'source <(glidepath completion zsh)' >> ~/.zshrc     (behind compinit)
  fish   glidepath completion fish > ~/.config/fish/completions/glidepath.fish
"""

# Bash breaks words at "=" and ":", which stand inside words here, as in sampler.steps=50. What it takes for
# the last word may so be the end of one; only that end is to be replied.
_BASH = """\
_glidepath() {
    local words=() glued=0 word about
    for word in "${COMP_WORDS[@]:1:COMP_CWORD}"; do
        if [[ ${#words[@]} -gt 0 && ( $word == [=:] || $glued == 1 ) ]]; then
            words[-1]+=$word
        else
            words+=("$word")
        fi
        [[ $word == [=:] ]] && glued=1 || glued=0
    done
    local tail=${COMP_WORDS[COMP_CWORD]}
    [[ $tail == [=:] ]] && tail=
    local strip=$(( ${#words[-1]} - ${#tail} ))
    COMPREPLY=()
    while IFS=$'\\t' read -r word about; do
        COMPREPLY+=("${word:strip}")
    done < <(glidepath completion bash -- "${words[@]}" 2>/dev/null)
    [[ ${#COMPREPLY[@]} -gt 0 && ${COMPREPLY[0]} == *[=/] ]] && compopt -o nospace
    return 0
}
complete -o default -F _glidepath glidepath
"""
_ZSH = """\
#compdef glidepath
_glidepath() {
    local -a lines plain open plain_shown open_shown
    local line word
    lines=("${(@f)$(glidepath completion zsh -- "${(@Q)words[2,CURRENT]}" 2>/dev/null)}")
    for line in $lines; do
        word=${line%%$'\\t'*}
        if [[ $word == *[=/] ]]; then
            open+=("$word")
            open_shown+=("${line/$'\\t'/  }")
        else
            plain+=("$word")
            plain_shown+=("${line/$'\\t'/  }")
        fi
    done
    if (( $#plain + $#open == 0 )); then
        _files
        return
    fi
    (( $#plain )) && compadd -l -d plain_shown -a plain
    (( $#open )) && compadd -l -S '' -d open_shown -a open
}
compdef _glidepath glidepath
"""
_FISH = """\
function __glidepath_complete
    set -l words (commandline -opc)
    set -e words[1]
    set -l found (glidepath completion fish -- $words (commandline -ct) 2>/dev/null)
    if test (count $found) -gt 0
        printf '%s\\n' $found
    else
        __fish_complete_path (commandline -ct)
    end
end
complete -c glidepath -f -a '(__glidepath_complete)'
"""
SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the arguments."""
    parser = commands.add_parser(
        "completion",
        description="Print a script that makes a shell complete commands, options, presets, kinds and parts.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("shell", metavar="SHELL", choices=tuple(SCRIPTS), help="bash, zsh or fish")
    parser.add_argument("words", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)


def run(arguments: argparse.Namespace) -> int:
    """Print the script; or, for words behind `--`, what may stand in place of the last: a line for each,
    with a tab and its meaning where it has one.

    A shell waits for this, and shows what is printed: whatever goes wrong, it is quiet.
    """
    if not arguments.words:
        print(SCRIPTS[arguments.shell], end="")
        return 0
    words = arguments.words[1:] if arguments.words[0] == "--" else arguments.words
    from glidepath.registry.cli.complete import candidates

    with contextlib.suppress(Exception):
        for word, about in candidates(words):
            print(f"{word}\t{about}" if about else word)
    sys.stdout.flush()
    return 0
