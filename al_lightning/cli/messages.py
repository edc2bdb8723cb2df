"""Turns what jsonargparse and Lightning say of bad input into one sentence a user can act on."""

import re
from collections.abc import Callable, Iterable

from al_lightning.errors import did_you_mean

LINKED = {"loop.seed": "seed_everything"}
PLAIN_NAMES = {"int": "an integer", "float": "a number", "bool": "true or false", "str": "a string"}


def explain(
    message: str,
    known_classes: Callable[[str], Iterable[str]],
    known_options: Iterable[str],
    owners: Callable[[str], str] = lambda option: "",
) -> str:
    """Rewrites an error message of jsonargparse.

    Args:
        message: The message, possibly of many lines and with the errors of all types of a union.
        known_classes: Given the option that takes a class, the short names of the classes that it takes.
        known_options: All options of the command, with their dashes.
        owners: Given such an option, says how to choose the classes that have it; empty if all do.

    Returns:
        One sentence that names the option, what was expected and what was got.
    """
    text = " ".join(message.split())
    option = ".".join(re.findall(r'Parser key "([^"]+)"', text)).replace("init_args.", "")
    option = LINKED.get(option, option)
    if match := re.search(r"unrecognized arguments: (\S+)", text):
        return _unknown_option(match[1], known_options, owners)
    if match := re.search(r"does not accept option '([^']+)'", text):
        return _unknown_option(f"--{match[1]}", known_options, owners)
    if match := re.search(r"Unexpected config:(.*)", text):
        return f"Expected `config` to be a file of options, in YAML, but got `{match[1].strip()}`."
    if match := re.search(r"Unable to load config ['\"]([^'\"]*)['\"]", text):
        return f"Expected `{option.split('.')[0]}` to be a file of its options, in YAML, but got `{match[1]}`."
    if match := re.search(r"Path is not a file: '([^']+)'", text):
        return f"Expected `{option or 'config'}` to be a file, but {match[1]} is a folder."
    if match := re.search(r"the following arguments are required: ([^\s,]+)", text):
        name = f"{option}.{match[1]}" if option else match[1]
        return f"Expected `{name}` to be given, but it is missing."
    if match := re.search(r"Expected an instantiatable class, but (\w*) ?is abstract", text):
        known = ", ".join(known_classes(option))
        name = f"`{match[1]}`, a base class" if match[1] else "a base class"
        return f"Expected `{option}` to be one of {known}, or a class of your own, but got {name}."
    if match := re.search(r"Not a valid subclass of (\w+)", text):
        known = ", ".join(known_classes(option))
        return f"Expected `{option}` to be a class, {known or match[1]} or your own, but got something else."
    if match := re.search(r"Import path (\S*) ?does not correspond to a subclass of (\w+)", text):
        hint = "; a function needs the annotation `-> torch.nn.Module`." if match[2] == "Module" else "."
        return f"Expected `{option}` to be a subclass of {match[2]}, but got `{match[1] or 'another class'}`{hint}"
    if match := re.search(r"(?:Option|Key) '([^']+)' is not (?:accepted|expected)", text):
        return _unknown_option(f"--{option}.{match[1]}" if option else f"--{match[1]}", known_options, owners)
    if match := re.search(r"File does not exist: '?([^']+)'?", text):
        return f"Expected `{option or 'config'}` to be a file, but there is no {match[1]}."
    if match := re.search(r"Expected a dot import path string: (\S+)", text):
        words = re.findall(r"'([^']+)'", "".join(re.findall(r"typing\.Literal\[([^\]]*)\]", text)))
        return _unknown_class(option, match[1], [*dict.fromkeys(words), *known_classes(option)])
    types = [_plain(name) for name in re.findall(r"Expected an? (<class '\w+'>|typing\.Literal\[[^\]]*\])", text)]
    got = re.search(r"Got value: (.*?)(?= - | Given value|$)", text) or re.search(
        r"Given value: (.*?)(?= - Expected|$)", text
    )
    # typing keeps the members of a union in the order in which somebody, anywhere, named them first
    expected = sorted({name for name in types if name}, key=[*PLAIN_NAMES.values(), *filter(None, types)].index)
    if option and expected and got:
        hint = _quoting(option, got[1].strip(), text) if expected == [PLAIN_NAMES["str"]] else "."
        return f"Expected `{option}` to be {' or '.join(expected)}, but got `{got[1].strip()}`{hint}"
    given = re.search(r"NestedArg\(key='\w+', val='(.*?)'\)", text)
    if given and "Subtypes: [list[" in text:
        example = f"[{given[1]}]" if re.fullmatch(r"[^\[\]{}\"']*", given[1]) else "[cat, dog]"
        or_names = " or 'cat, dog'" if option == "data.classes" else ""
        return f"Expected `{option}` to be a list, as in '{example}'{or_names}, but got `{given[1]}`."
    if problems := re.findall(r"Problem with given class_path '([^']+)': (.*?)(?= - |$)", text):
        name, problem = problems[-1]  # the innermost one
        return f"Expected `{option}` to be a class that can be used, but got `{name}`: {problem}"
    if match := re.search(r'Linked "([^"]+)" must be given via "([^"]+)"', text):
        return f"Expected `{match[2]}` instead of `{match[1]}`, which is taken from it."
    return text if len(text) <= 300 else f"{text[:300]} ..."


def _quoting(option: str, got: str, text: str) -> str:
    """The end of a sentence about a value that YAML takes for something else than the text that was meant."""
    words = {"True": "yes, on and true", "False": "no, off and false", "None": "null and ~"}
    if got not in words and not re.fullmatch(r"-?[\d.]+(e[-+]?\d+)?", got):
        return "."
    how = f"as YAML reads {words[got]}" if got in words else "as YAML reads digits, 01 as 1,"
    given = re.search(rf"\b(?:val|{re.escape(option.rsplit('.', 1)[-1])})(?:=|': )\[(.*?)\][,)}}]", text)
    values = given[1].split(", ") if given else []
    if got not in values:
        return f", {how} without quotes; quote it."
    example = f"""["no", "01"] for `{option}`"""
    return f", {how} without quotes; quote it, element {values.index(got) + 1}, as in {example}."


def sentence_in_union(text: str) -> str | None:
    """What a class says of its arguments, among what jsonargparse says of the other types that an option may have."""
    if "any of the Union" not in text:
        return None
    if found := re.search(r" - (Expected (?!an? (?:typing\.|<class)).*?\.)(?= - Expected| Given value|$)", text):
        return found[1]
    found = re.search(r"Errors: - (.*?)(?= - Expected a| Given value|$)", text)
    class_path = re.search(r"class_path='([\w.]+)'", text)
    if found is None or class_path is None:
        return None
    return f"Expected arguments that {class_path[1]} can use, but got: {found[1].rstrip('.')}."


def _unknown_option(name: str, known: Iterable[str], owners: Callable[[str], str]) -> str:
    if not name.startswith("-"):
        return (
            f"Expected options that begin with --, but got `{name}`: a run folder goes first, and a value with blanks "
            "needs quotes."
        )
    options = sorted(
        option
        for option in set(known)
        # --loop.strategy is no answer to --loop.strategy.num_sampls
        if option.startswith("--") and not option.endswith(".help") and not name.startswith(f"{option}.")
    )
    if name in options:  # of another class than the one that was chosen
        has_it = owners(name)
        hint = f"; {has_it} has it, and must come before it." if has_it else "."
        return f"Expected an option that the chosen class has, but got `{name}`, which it has not{hint}"
    return f"Expected an option of this command, but got `{name}`{did_you_mean(name, options)}"


def _unknown_class(option: str, name: str, known: list[str]) -> str:
    listed = f"one of {', '.join(known)}, or " if known else ""
    return (
        f"Expected `{option}` to be {listed}the dotted path of a class that can be imported, "
        f"but got `{name}`{did_you_mean(name, known)}"
    )


def _plain(name: str) -> str | None:
    """A type as a user would say it; ``None`` for NoneType, which is never what was meant."""
    if match := re.fullmatch(r"typing\.Literal\[(.*)\]", name):
        return f"one of {match[1]}"
    match = re.fullmatch(r"<class '(\w+)'>", name)
    return PLAIN_NAMES.get(match[1]) if match else None
