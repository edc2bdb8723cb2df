"""Digests of users' code. They stay the same if only comments, blanks or logging change."""

import ast
import dis
import hashlib
import inspect
import site
import sys
import sysconfig
import textwrap
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

PACKAGE = Path(__file__).parents[2]
PLAIN = (bool, int, float, complex, str, bytes, type(None))
SAYS = ("print", "log", "log_dict", "debug", "info", "warning", "warn")
"""Calls that only print or log something: a fit is the same without them."""


def is_own(thing: Any) -> bool:
    """Returns whether the user wrote a class or function: Python, installed packages and this package do not count."""
    if isinstance(thing, type):
        module = sys.modules.get(thing.__module__)
        if module is None or thing.__module__ == "builtins":
            return False
        if thing.__module__ == "__main__":
            return True
        file = getattr(module, "__file__", None)
    elif isinstance(thing, FunctionType):
        file = thing.__code__.co_filename
    else:
        return False
    return file is not None and not _is_installed(file)


@lru_cache(None)
def _is_installed(file: str) -> bool:
    if file.startswith("<frozen"):
        return True
    path = Path(file).absolute()
    if {"site-packages", "dist-packages"} & set(path.parts):  # also packages of another environment on sys.path
        return True
    return any(path.is_relative_to(folder) for folder in _library_folders())


@lru_cache(1)
def _library_folders() -> tuple[Path, ...]:
    paths = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    paths += [*site.getsitepackages(), site.getusersitepackages(), str(PACKAGE)]
    return tuple(Path(path).absolute() for path in paths)


def digest_of_class(cls: type) -> str:
    """Digest of the code of a class: its own methods, and the methods of its bases that the user wrote."""
    return _digest(_Reader().of_class(cls))


def digest_of_function(function: FunctionType) -> str:
    """Digest of the code of a user's function, and of all other code of the user that it uses."""
    return _digest(_Reader().of_function(function))


def _digest(lines: Iterator[str]) -> str:
    sha256 = hashlib.sha256()
    for line in lines:
        sha256.update(line.encode("utf-8", "backslashreplace") + b"\n")
    return sha256.hexdigest()[:16]


class _Reader:
    """Goes through code and the objects that it uses, each object once."""

    def __init__(self) -> None:
        self._seen: set[int] = set()

    def of_class(self, cls: type) -> Iterator[str]:
        for base in cls.__mro__:
            if not is_own(base) or id(base) in self._seen:
                continue
            self._seen.add(id(base))
            for name, value in sorted(vars(base).items()):
                value = getattr(value, "__func__", value)  # a static or class method
                functions = (value.fget, value.fset) if isinstance(value, property) else (value,)
                for function in map(_unwrapped, functions):
                    if isinstance(function, FunctionType) and is_own(function):
                        yield name
                        yield from self.of_function(function)
                    elif isinstance(function, PLAIN) and not name.startswith("__"):
                        yield f"{name} = {function!r}"

    def of_function(self, function: FunctionType) -> Iterator[str]:
        if id(function) in self._seen:
            return
        self._seen.add(id(function))
        yield _text(function)
        for value in (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()):
            yield from self._of_value("default", value)
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=False):
            try:
                yield from self._of_value(name, cell.cell_contents)
            except ValueError:  # the cell is not filled yet
                yield name
        used, assigned = _globals_of(function.__code__)
        for name in sorted(used - assigned):
            if name in function.__globals__:
                value = function.__globals__[name]
                if isinstance(value, ModuleType):
                    yield from self._of_module(value, used)
                else:
                    yield from self._of_value(name, value)

    def _of_module(self, module: ModuleType, used: set[str]) -> Iterator[str]:
        """The parts of a user's module that code uses."""
        file = getattr(module, "__file__", None)
        if file is not None and not _is_installed(file):
            for name in sorted(used & set(vars(module))):
                yield from self._of_value(name, getattr(module, name))

    def _of_value(self, name: str, value: Any) -> Iterator[str]:
        value = _unwrapped(value)
        if isinstance(value, PLAIN) or (isinstance(value, tuple) and all(isinstance(part, PLAIN) for part in value)):
            yield f"{name} = {value!r}"
        elif isinstance(value, type):
            yield f"{name} = {value.__module__}.{value.__qualname__}"
            yield from self.of_class(value)
        elif isinstance(value, FunctionType) and is_own(value):
            yield from self.of_function(value)
        elif callable(value) and hasattr(value, "__name__"):
            yield f"{name} = {value.__name__}"


def _unwrapped(value: Any) -> Any:
    return inspect.unwrap(value) if isinstance(value, FunctionType) else value


def _globals_of(code: CodeType) -> tuple[set[str], set[str]]:
    """Names of globals and attributes that code and its inner functions use, and globals that it sets."""
    used, assigned = set(code.co_names), set()
    for instruction in dis.get_instructions(code):
        if instruction.opname in ("STORE_GLOBAL", "DELETE_GLOBAL"):
            assigned.add(instruction.argval)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            more_used, more_assigned = _globals_of(constant)
            used |= more_used
            assigned |= more_assigned
    return used, assigned


def _text(function: FunctionType) -> str:
    """The source without irrelevant parts, or the byte code if there is no source."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError, ValueError):  # no source, or a lambda in the middle of a line
        return _byte_code(function.__code__)
    if function.__name__ == "<lambda>":
        lambdas = [node for node in ast.walk(tree) if isinstance(node, ast.Lambda)]
        # If a line has several lambdas, the source does not show which one it is.
        return ast.unparse(lambdas[0]) if len(lambdas) == 1 else _byte_code(function.__code__)
    return ast.unparse(_Simplified().visit(tree))


def _byte_code(code: CodeType) -> str:
    """Byte code as text. Another version of Python compiles to other byte code."""
    constants = [_byte_code(part) if isinstance(part, CodeType) else _constant(part) for part in code.co_consts]
    return f"{sys.version_info[:2]} {code.co_code.hex()} {code.co_names} {' '.join(constants)}"


def _constant(value: Any) -> str:
    return str(sorted(map(repr, value))) if isinstance(value, frozenset) else repr(value)  # its order is random


class _Simplified(ast.NodeTransformer):
    """Leaves out annotations, docstrings and other texts that stand alone, and calls that only print or log."""

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        is_said = isinstance(node.value, ast.Call) and _name(node.value.func) in SAYS
        return ast.Pass() if is_said or isinstance(node.value, ast.Constant) else self.generic_visit(node)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        return ast.arg(node.arg)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        self.generic_visit(node)
        node.body = [part for part in node.body if not isinstance(part, ast.Pass)] or [ast.Pass()]
        return node


def _name(function: ast.expr) -> str:
    return (
        function.attr if isinstance(function, ast.Attribute) else function.id if isinstance(function, ast.Name) else ""
    )
