"""Command lines as the commands they are made of, and which of those only look."""

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execution_platform.exceptions import InvalidToolArguments
from execution_platform.tool_bridge.sandbox.commands import SimpleCommand, simple_commands
from execution_platform.tool_bridge.sandbox.inspection import objection, programs


def words(line: str) -> list[list[str]]:
    return [command.words for command in simple_commands(line)]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("ls -la src", [["ls", "-la", "src"]]),
        ("ls && cat a || wc -l b; pwd & date", [["ls"], ["cat", "a"], ["wc", "-l", "b"], ["pwd"], ["date"]]),
        ("cat a|grep b", [["cat", "a"], ["grep", "b"]]),
        ("ls\nrm x", [["ls"], ["rm", "x"]]),
        ("grep 'a;b|c' \"d && e\" f\\;g", [["grep", "a;b|c", "d && e", "f;g"]]),
        ("echo '$HOME' \"cost 5$\" a$", [["echo", "$HOME", "cost 5$", "a$"]]),
        ('echo "a\\"b" \'\'', [["echo", 'a"b', ""]]),
        ("", []),
    ],
)
def test_a_line_is_read_as_a_shell_reads_it(line: str, expected: list[list[str]]) -> None:
    assert words(line) == expected


@pytest.mark.parametrize(
    ("line", "targets"),
    [
        ("ls > out", ["out"]),
        ("ls >>out 2>&1", ["out", "1"]),
        ("ls 2>/dev/null", ["/dev/null"]),
        ("ls &>out", ["out"]),
        ("cat <in", ["in"]),
        ("ls >| out", ["out"]),
    ],
)
def test_redirections_are_told_apart_from_arguments(line: str, targets: list[str]) -> None:
    (command,) = simple_commands(line)
    assert command.targets == targets
    assert command.words in (["ls"], ["cat"])


@pytest.mark.parametrize(
    "line",
    [
        "ls $HOME",
        'ls "$HOME"',
        "ls $(id)",
        'ls "`id`"',
        "ls `id`",
        "ls ${X:--exec}",
        "(ls)",
        "{ ls; }",
        "ls {a,b}",
        "cat <<EOF",
        "cat <(id)",
        "ls >",
        "ls > ; pwd",
        "ls 'open",
        "ls # comment",
        "$'ls'",
        'ls $"x"',
    ],
)
def test_what_nobody_can_foresee_is_refused(line: str) -> None:
    """X4: a word that becomes another one later is not judged by what it looks like."""
    with pytest.raises(InvalidToolArguments, match=r"args\.command"):
        simple_commands(line)


@given(st.lists(st.lists(st.text(st.characters(codec="ascii", exclude_characters="\0")), min_size=1), min_size=1))
def test_quoted_words_come_back_as_they_were(commands: list[list[str]]) -> None:
    line = " ; ".join(shlex.join(words) for words in commands)
    assert [command.words for command in simple_commands(line)] == commands


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(line: str) -> None:
    try:
        simple_commands(line)
    except InvalidToolArguments:
        return


LOOKS = (
    "ls -la",
    "cat a b",
    "find . -name '*.py' -type f",
    "grep -rn x src",
    "rg -n x",
    "sed -n '10,20p' file",
    "git status --short",
    "git -C sub --no-pager log --oneline -5",
    "git diff HEAD~1 -- file",
    "git show HEAD:file",
    "sort -u file",
    "uniq -c file",
    "env",
    "date +%s",
    "file a",
    "tree -L 2",
    "git --version",
    "git",
)
DOES_MORE = (
    "git -c alias.x='!id' x",
    "git --exec-path=. status",
    "git -ccore.pager=id log",
    "git log --output=stolen",
    "git log --outp=stolen",
    "git diff --ext-diff",
    "git grep -Oid x",
    "git grep --open-files-in-p=id x",
    "git clone ext::sh",
    "git push",
    "git fetch --upload_p=id",
    "git commit -m x",
    "git config core.fsmonitor id",
    "find . -exec id ;",
    "find . -execdir id ;",
    "find . -ok id ;",
    "find . -delete",
    "find . -fprintf out x",
    "tar --checkpoint-action=exec=id -cf x .",
    "rg --pre id x",
    "rg --pre=id x",
    "env LD_PRELOAD=x.so ls",
    "LD_PRELOAD=x.so ls",
    "ssh -oProxyCommand=id host",
    "sort -o out in",
    "sort -uo out in",
    "sort --compress-prog=id in",
    "uniq in out",
    "sed -i s/a/b/ file",
    "sed -n '1e id' file",
    "sed -n w",
    "awk 'BEGIN{system(1)}'",
    "xargs id",
    "tree -o out",
    "date -s now",
    "file -C -m magic",
    "python3 -c 1",
    "sh -c id",
    "bash",
    "perl -e 1",
    "vi",
    "less file",
    "man ls",
    "/bin/ls",
    "./ls",
    "curl x",
    "tee out",
    "rm x",
    "",
)


@pytest.mark.parametrize("line", LOOKS)
def test_commands_that_look_are_let_through(line: str) -> None:
    assert [objection(command) for command in simple_commands(line)] == [None]


@pytest.mark.parametrize("line", DOES_MORE)
def test_commands_that_do_more_than_look_are_refused(line: str) -> None:
    """X4: flags, abbreviations, aliases and variables that run or write something are no way around the list."""
    assert objection(SimpleCommand(shlex.split(line))) is not None


@pytest.mark.parametrize("line", ["ls > out", "cat a >> b", "ls 2> err", "cat < /etc/passwd > x"])
def test_looking_writes_no_file(line: str) -> None:
    assert any(objection(command) for command in simple_commands(line))


def test_output_may_be_thrown_away() -> None:
    assert [objection(command) for command in simple_commands("ls 2>/dev/null; ls >/dev/null 2>&1")] == [None, None]


def test_the_refusal_lists_what_is_possible() -> None:
    said = objection(SimpleCommand(["make"]))
    assert said is not None
    assert all(name in said for name in programs())
