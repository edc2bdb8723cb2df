"""``al-lightning configs [NAME]``: lists the configs that come with the package, or prints one."""

from pathlib import Path

from al_lightning.cli.config_files import own_configs
from al_lightning.cli.options import Parser
from al_lightning.errors import InputError, did_you_mean


def run(words: list[str]) -> None:
    """Runs the command.

    Raises:
        InputError: If there is no config of the name.
    """
    parser = Parser(
        "al-lightning configs [NAME]",
        description="Lists the configs that come with the package, or prints one. Use a config by its name: "
        "al-lightning fit --config badge.",
    )
    parser.add_argument("name", metavar="NAME", nargs="?", help="the config to print; all are listed if not given")
    name = parser.parse_args(words).name
    configs = own_configs()
    if name is None:
        width = max(map(len, configs), default=0)
        for known, path in configs.items():
            print(f"{known:{width}}  {_first_comment(path)}")
    elif name in configs:
        print(configs[name].read_text(encoding="utf-8"), end="")
    else:
        raise InputError(
            f"Expected the name of a config, one of {', '.join(configs)}, but got `{name}`{did_you_mean(name, configs)}"
        )


def _first_comment(path: Path) -> str:
    """What a config says of itself: its first line, without the number sign."""
    return path.read_text(encoding="utf-8").partition("\n")[0].removeprefix("#").strip()
