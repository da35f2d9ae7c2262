"""The code blocks of a page: Python is run, sessions are compared, commands are looked up."""

import ast
import doctest
import re
import shlex
from pathlib import Path

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```", re.DOTALL | re.MULTILINE)
COMPARED = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE | doctest.IGNORE_EXCEPTION_DETAIL
# How the lines of a block without a language begin, if they are commands.
KNOWN = ("keras-smes ", "make ", "pip ", "python ", "tensorflow_model_server ")
# Commands of others, which are not looked up.
FOREIGN = {"cp", "curl", "find", "kubectl", "mv", "tensorflow_model_server"}


def blocks(text, *languages):
    """The blocks of a page in these languages, each with its language, in their order."""
    return [(name, code) for _, name, code in FENCE.findall(text) if name in languages]


def run_python(text, page):
    """Runs the blocks of a page in one namespace, which is returned; compares what sessions print."""
    namespace = {"__name__": "page"}
    for language, code in blocks(text, "python", "pycon"):
        if language == "python":
            exec(compile(code, page, "exec"), namespace)
        else:
            session = doctest.DocTestParser().get_doctest(code, namespace, page, page, 0)
            failures, tried = run_session(session)
            assert tried
            assert not failures
            namespace = session.globs
    return namespace


def run_session(session):
    """Runs a doctest, prints what differs, and returns how many lines failed and how many there are."""
    runner = doctest.DocTestRunner(_AnyBackend(), optionflags=COMPARED)
    results = runner.run(session, clear_globs=False)
    return results.failed, results.attempted


class _AnyBackend(doctest.OutputChecker):
    """Takes TensorFlow's way to print a shape for a tuple, which other backends print."""

    def check_output(self, want, got, optionflags):
        got = re.sub(r"TensorShape\(\[(\d+)\]\)", r"(\1,)", got)
        got = re.sub(r"TensorShape\(\[([^]]*)\]\)", r"(\1)", got)
        return super().check_output(want, got, optionflags)


def commands(text):
    """The commands of a page's shell blocks, each as its words. A block of no language may hold formulas."""
    lines = [(line, name) for name, code in blocks(text, "bash", "") for line in _lines(code)]
    words = [shlex.split(line, comments=True) for line, name in lines if name or line.startswith(KNOWN)]
    return [_without_pipe(_without_environment(line)) for line in words if line]


def _lines(code):
    return code.replace("\\\n", " ").splitlines()


def _without_environment(words):
    return words[1:] if re.match(r"[A-Z_]+=", words[0]) else words


def _without_pipe(words):
    return words[: words.index("|")] if "|" in words else words


def check_command(words):
    """Stops at a command that doesn't exist, or has an option that doesn't."""
    {
        "keras-smes": check_keras_smes,
        "make": check_make,
        "mkdocs": lambda words: None,
        "pip": check_pip,
        "python": check_script,
    }.get(words[0], check_foreign)(words)


def check_keras_smes(words):
    from keras_smes.cli.main import build_parser
    from keras_smes_serving.server.flags import parse_flags

    if words[1] == "serve":
        parse_flags(words[2:])
    else:
        build_parser().parse_args(words[1:])


def check_make(words):
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for word in words[1:]:
        name = word.partition("=")[0]
        assert re.search(rf"^{name}( \?=|:)", makefile, flags=re.MULTILINE), word


def check_pip(words):
    assert words[1] == "install"
    extras = {extra for word in words[2:] for extra in re.findall(r"[\w]+", word.partition("[")[2])}
    assert extras <= set(_extras()), words


def check_script(words):
    if words[1] == "-m":
        return
    if words[1] == "-c":
        ast.parse(words[2])
        return
    source = (ROOT / words[1]).read_text(encoding="utf-8")
    for option in (word for word in words if word.startswith("--")):
        assert f'"{option}"' in source, words


def check_foreign(words):
    assert words[0] in FOREIGN, words


def _extras():
    tree = ast.parse((ROOT / "setup.py").read_text(encoding="utf-8"))
    (extras,) = [node.value for node in ast.walk(tree) if getattr(node, "arg", None) == "extras_require"]
    return [key.value for key in extras.keys]
