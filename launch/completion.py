"""What a shell asks to complete `tfunc`: the programs, each one's flags, and the choices of those that have some.

    tfunc completion bash > ~/.local/share/bash-completion/completions/tfunc
    tfunc completion zsh > ~/.tfunc.zsh      # then `source ~/.tfunc.zsh` in ~/.zshrc
    tfunc completion fish > ~/.config/fish/completions/tfunc.fish

Making the script asks every program for its flags, which takes seconds; completing with it starts no Python.
"""

from __future__ import annotations

import concurrent.futures
import subprocess
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence

from data_prep.base.errors import UserError
from launch import program

SHELLS = ("bash", "zsh", "fish")


def script(programs: Sequence[str], arguments: Sequence[str]) -> str:
    """The script for the shell that is named; raises `UserError` for another or none."""
    if len(arguments) != 1 or arguments[0] not in SHELLS:
        raise UserError("tfunc completion", expected=f"one of {', '.join(SHELLS)}", found=" ".join(arguments) or "none")
    with concurrent.futures.ThreadPoolExecutor(4) as threads:
        found = dict(zip(programs, threads.map(words_of, programs), strict=True))
    return {"bash": _bash, "zsh": _zsh, "fish": _fish}[arguments[0]](found)


def words_of(name: str) -> list[str]:
    """The flags of a program in order, as they are typed: `--name=`, with each choice where there are some, `--[no]name`."""
    asked = subprocess.run([*program.argv(name), "--helpxml"], capture_output=True, text=True, check=False)
    try:
        listed = ElementTree.fromstring(asked.stdout)
    except ElementTree.ParseError:
        last = (asked.stderr.strip().splitlines() or ["nothing"])[-1]
        raise UserError(f"tfunc {name} --helpxml", expected="its flags", found=last) from None
    found = []
    for flag in listed.iter("flag"):
        if flag.findtext("key") != "yes":
            continue
        called, choices = flag.findtext("name"), [choice.text for choice in flag.iter("enum_value")]
        if flag.findtext("type") == "bool":
            found += [f"--{called}", f"--no{called}"]
        else:
            found += [f"--{called}={choice}" for choice in choices] or [f"--{called}="]
    return sorted(found)


def _bash(programs):
    return BASH.replace("PROGRAMS", " ".join(programs)).replace(
        "CASES", "\n".join(f'      {name}) words="{" ".join(words)}" ;;' for name, words in programs.items())
    )


# bash takes `=` for the end of a word: the whole one is read off the line, and what stands before `=` is not repeated
BASH = """\
_tfunc() {
  local line="${COMP_LINE:0:COMP_POINT}" words="" given="" reply=""
  local word="${line##* }"
  if [ "$COMP_CWORD" = 1 ]; then
    words="PROGRAMS completion --version --help"
  else
    case "${COMP_WORDS[1]}" in
CASES
    esac
  fi
  [[ "$word" == *=* && "$COMP_WORDBREAKS" == *=* ]] && given="${word%%=*}="
  COMPREPLY=()
  for reply in $(compgen -W "$words" -- "$word"); do
    [[ "$reply" != "$word" ]] && COMPREPLY+=("${reply#"$given"}")
  done
  if [ ${#COMPREPLY[@]} = 0 ]; then
    COMPREPLY=($(compgen -f -- "${word##*=}"))
  fi
}
complete -o nospace -F _tfunc tfunc"""


def _zsh(programs):
    return "autoload -U +X bashcompinit && bashcompinit\n" + _bash(programs)


def _fish(programs):
    lines = [f'complete -c tfunc -n "__fish_is_first_arg" -f -a "{" ".join(programs)}"']
    for name, words in programs.items():
        lines += [f'complete -c tfunc -n "__fish_seen_subcommand_from {name}" -f -a "{" ".join(words)}"']
    return "\n".join(lines)
