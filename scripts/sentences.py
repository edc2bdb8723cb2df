"""Counts the words a sentence of Markdown prose or docstrings: python scripts/sentences.py README.md docs/*.md *.py.

Prose is paragraphs and list items, each a sentence at least. Not prose are code blocks, tables, headings, titles at
the start of a paragraph (**Like this.**), images, link targets, formulas on their own line, and comments. In
docstrings, names of arguments, examples, references and literal blocks are not prose either. Words in code
count. A colon, a semicolon, an abbreviation and a decimal point do not end a sentence.
"""

import ast
import inspect
import re
import sys
from dataclasses import dataclass
from pathlib import Path

FENCE = re.compile(r"^\s*(```+|~~~+)")
NO_PROSE = re.compile(r"^\s*(\||#|!!!|\?\?\?|===|:::|\[[^\]]+\]: |<|---+\s*$)")
ITEM = re.compile(r"^\s*(?:[-*+]|\d+[.)])\s+")
TITLE = re.compile(r"^\*\*[^*]+[.:]\*\*\s*")
IMAGE = re.compile(r"!\[[^\]]*\]\([^)]*\)")
LINK = re.compile(r"\[([^\]]*)\](?:\([^)]*\)|\[[^\]]*\])")
CODE = re.compile(r"(`+)(.+?)\1")
FORMULA = re.compile(r"\$[^$]+\$")
ABBREVIATIONS = {"e.g.", "i.e.", "cf.", "vs.", "et al.", "etc.", "approx.", "Fig.", "Eq.", "Sec.", "No.", "p.", "pp."}
END = re.compile(r"[.!?][\"'”’)\]*_]*(?=\s|$)")
SECTION = re.compile(r"(Args|Attributes|Raises|Returns|Yields|Examples?|References?):")
ARGUMENT = re.compile(r"    \*{0,2}[\w.]+(?: \([^)]*\))?: ")
NOT_AN_END = re.compile(rf"(?:(?<!\w)(?:{'|'.join(map(re.escape, ABBREVIATIONS))}|[A-Z]\.)|\.\.\.)$")


@dataclass(frozen=True)
class Count:
    """What was found in one text."""

    sentences: list[str]

    @property
    def lengths(self) -> list[int]:
        return [num_words(sentence) for sentence in self.sentences]

    @property
    def mean(self) -> float:
        return sum(self.lengths) / len(self.lengths) if self.sentences else 0.0

    @property
    def longest(self) -> int:
        return max(self.lengths, default=0)


def count(markdown: str) -> Count:
    return Count([sentence for block in prose_blocks(markdown) for sentence in split_sentences(block)])


def count_docstrings(source: str) -> Count:
    """Counts the docstrings of modules, classes and functions in Python code, and the strings under attributes."""
    found = []
    for node in ast.walk(ast.parse(source)):
        body = node.body if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) else []
        for statement in body:
            if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
                text = statement.value.value
                found += count(as_markdown(inspect.cleandoc(text))).sentences if isinstance(text, str) else []
    return Count(found)


def as_markdown(docstring: str) -> str:
    """The prose of a docstring in Google style, with a list item for each argument and each error."""
    lines, section, literal = [], "", -1
    for line in docstring.splitlines():
        indent = len(line) - len(line.lstrip())
        if literal >= 0 and (not line.strip() or indent > literal):
            lines.append("")
            continue
        literal = -1
        if heading := SECTION.fullmatch(line):
            section = heading[1]
            line = ""
        elif line.strip() and indent == 0:
            section = ""
        if section in ("Example", "Examples", "Reference", "References"):
            continue
        if line.lstrip().startswith(".. ") or line.endswith("::"):
            literal = indent
            line = "" if line.lstrip().startswith(".. ") else line.removesuffix("::")
        elif section in ("Args", "Attributes", "Raises"):
            line = ARGUMENT.sub("- ", line, count=1)
        lines.append(line)
    return "\n".join(lines)


def prose_blocks(markdown: str) -> list[str]:
    """Paragraphs and list items, without markup that is not read aloud."""
    markdown = re.sub(r"\A---\n.*?\n---\n", "", markdown, flags=re.DOTALL)  # the page's own settings
    markdown = re.sub(r"<!--.*?-->|\$\$.*?\$\$", "", markdown, flags=re.DOTALL)
    blocks: list[list[str]] = [[]]
    fence = ""
    for line in markdown.splitlines():
        if fence:
            if line.strip() == fence:
                fence = ""
        elif found := FENCE.match(line):
            fence = found[1]
            blocks.append([])
        elif not line.strip() or NO_PROSE.match(line):
            blocks.append([])
        elif ITEM.match(line):
            blocks.append([ITEM.sub("", line)])
        else:
            blocks[-1].append(line.strip().removeprefix("> "))
    texts = (TITLE.sub("", IMAGE.sub("", " ".join(block)).strip()) for block in blocks)
    return [text for text in texts if num_words(text)]


def split_sentences(block: str) -> list[str]:
    """Splits a paragraph; what is in code or a formula ends no sentence."""
    text = CODE.sub(lambda code: re.sub(r"[.!?]", "·", code[2]), FORMULA.sub("formula", LINK.sub(r"\1", block)))
    found, start = [], 0
    for end in END.finditer(text):
        if not NOT_AN_END.search(text[: end.start() + 1]):
            found.append(text[start : end.end()].strip())
            start = end.end()
    return [sentence for sentence in (*found, text[start:].strip()) if num_words(sentence)]


def num_words(text: str) -> int:
    """Words have a letter or a digit: a dash or a plus sign by itself is none."""
    return sum(any(character.isalnum() for character in word) for word in text.split())


def main(paths: list[str]) -> None:
    print(f"{'sentences':>9} {'mean':>6} {'longest':>8}")
    for path in paths:
        text = Path(path).read_text()
        found = count_docstrings(text) if path.endswith(".py") else count(text)
        print(f"{len(found.sentences):>9} {found.mean:>6.1f} {found.longest:>8}  {path}")
        for sentence, length in zip(found.sentences, found.lengths, strict=True):
            if length > 40:
                print(f"{'':>17} {length:>7}  {sentence[:90]} ...")


if __name__ == "__main__":
    main(sys.argv[1:])
