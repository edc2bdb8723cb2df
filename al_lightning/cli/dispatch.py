"""The command line: ``al-lightning fit --config badge``.

This module answers ``--help`` and ``--version``, turns what goes wrong into one sentence and an exit code, and imports
no more than that needs. Each command is a module of its own: the imports of :mod:`al_lightning.cli.fit` take seconds.
"""

import os
import shlex
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import nullcontext
from importlib import import_module
from pathlib import Path
from types import FrameType

from al_lightning.cli.beforehand import COMMANDS as COMPLETED, in_full, prints_config
from al_lightning.cli.loading import loading
from al_lightning.cli.people import CHOICES
from al_lightning.errors import InputError, Interrupted
from al_lightning.version import __version__

COMMANDS = {
    "fit": "run an experiment: rounds of training, testing, querying and labeling; al-lightning fit RUN continues it",
    "sweep": "run a study, arms x seeds, in parallel processes, or continue one",
    "test": "test the model of a run: al-lightning test RUN",
    "predict": "write the class probabilities of images or arrays: al-lightning predict RUN FOLDER|FILE --out p.csv",
    "label": "take in what people answered: al-lightning label RUN --import answers.csv",
    "suggest": "rank a folder of images by what a trained run would ask for: al-lightning suggest RUN FOLDER",
    "features": "turn images or texts into features, once: al-lightning features --data ... --model ... --out FILE.npz",
    "pretrain": "train a network on images without labels: al-lightning pretrain --config simclr --out net.pt",
    "report": "compare runs, with intervals and tests: al-lightning report RUNS... --out FOLDER",
    "check": "run the contract of query strategies on one of your own: al-lightning check my_file.MyStrategy",
    "configs": "list the configs that come with the package, or print one: al-lightning configs badge",
}
"""Each command, which is a module of this folder with a function ``run``, and what it does."""

LONG = ("fit", "sweep", "test", "predict", "features", "pretrain")
"""Commands that a signal interrupts where they stand, so that they can end in order."""

SLOW = ("fit", "test", "suggest", "check", "report", "features", "pretrain")
"""Commands whose imports take seconds."""

COMMAND_LINES = "\n".join(f"  {name:8} {says}" for name, says in COMMANDS.items())

HELP = f"""\
Deep active learning on PyTorch Lightning.

usage: al-lightning COMMAND [--config FILE ...] [--OPTION VALUE ...]

commands:
{COMMAND_LINES}

options:
  -h, --help     show this message, or all options of a command: al-lightning fit --help
  --version      show the version

examples:
  al-lightning fit --config badge
  al-lightning fit --config badge --loop.strategy BALD --loop.strategy.num_samples 50
  al-lightning fit --config entropy --seed_everything 1 --loop.num_rounds 10 --model.dropout 0.25
  al-lightning fit --config margin --print_config
  al-lightning fit --data ImageFolder --data.root photos --data.classes 'cat, dog' --loop.oracle FileOracle
  al-lightning fit runs/photos
  al-lightning sweep --config study
  tensorboard --logdir runs
"""

HELP_OF_FIT = f"""\
usage: al-lightning fit [RUN] [--config FILE ...] [--OPTION VALUE ...]

Runs an experiment. With the folder of a run, goes on with that run: al-lightning fit runs/photos.

An oracle that asks people, such as --loop.oracle FileOracle, has defaults of its own for all that you leave out:

{"".join(f"  --{choice.option:18} {choice.why}{chr(10)}" for choice in CHOICES)}\
  --loop.run_dir       runs/NAME, with the name of the folder or file of the data

examples:
  al-lightning fit --data ImageFolder --data.root photos --data.classes 'cat, dog' --loop.oracle FileOracle
  al-lightning fit runs/photos
  al-lightning fit --config badge --loop.num_rounds 10

--data.classes takes 'cat, dog', a list, or a file with one name a line. All options:
"""

STOPS = (signal.SIGINT, signal.SIGTERM, *([signal.SIGUSR1] if hasattr(signal, "SIGUSR1") else []))
"""Signals that ask the program to stop: Ctrl-C, the end of a job, and SLURM's warning before that end."""


def main(args: Sequence[str] | None = None) -> None:
    """Runs a command.

    Args:
        args: The words of the command line after the program's name; those it was called with if not given.

    Raises:
        SystemExit: With code 1 if runs or checks fail or runs wait for labels, 2 if the input is bad, 130 after Ctrl-C,
            143 after SIGTERM, 138 after SIGUSR1, and 141 if nobody reads the output any longer.
    """
    words = list(sys.argv[1:] if args is None else args)
    if not words or words[0] in ("-h", "--help"):
        print(HELP, end="")
        return
    if words[0] == "--version":
        print(f"al-lightning {__version__}")
        return
    if words[0] not in COMMANDS:
        _fail(f"Expected a command, one of {', '.join(COMMANDS)}, but got `{words[0]}`; see al-lightning --help.")
    signals = STOPS if threading.current_thread() is threading.main_thread() else ()
    if signals and os.environ.get("LOCAL_RANK", "0") != "0":
        # of a run on several devices this is not the first process, which says what there is to say and ends this one
        for signum in (*STOPS[:1], *STOPS[2:]):
            signal.signal(signum, signal.SIG_IGN)
        signals = ()
    previous = {signum: signal.getsignal(signum) for signum in signals}

    def quit_now(signum: int, frame: FrameType | None) -> None:
        # an exception in the middle of an import may be swallowed, or leave half a module behind
        _say_how_to_continue(signum, words)
        os._exit(128 + signum)

    try:
        if os.getcwd() not in sys.path:  # for --loop.strategy my_module.MyStrategy
            sys.path.append(os.getcwd())
        for signum in signals:
            signal.signal(signum, quit_now)
        rest = words[1:]
        if words[0] == "fit" and {"-h", "--help"} & set(rest):
            print(HELP_OF_FIT)
        if words[0] in COMPLETED:
            rest, note = in_full(words[0], rest)
            if note and os.environ.get("LOCAL_RANK", "0") == "0":
                print(note, file=sys.stderr if prints_config(rest) else sys.stdout, flush=True)
        with loading() if words[0] in SLOW else nullcontext():
            command = import_module(f"al_lightning.cli.{words[0]}")
        if words[0] in LONG:
            for signum in signals:
                signal.signal(signum, _interrupt)
        command.run(rest)
        sys.stdout.flush()
    except BrokenPipeError:  # nobody reads on, as after `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is flushed at the end
        sys.exit(128 + signal.SIGPIPE)  # like a program that the signal ends, which Python ignores
    except Interrupted as error:
        for signum in signals:  # an impatient second Ctrl-C changes nothing
            signal.signal(signum, signal.SIG_IGN)
        _say_how_to_continue(error.signum, words)
        sys.exit(128 + error.signum)
    except InputError as error:
        _fail(str(error))
    except OSError as error:  # a full disk, a folder without permission
        _fail(f"{error.strerror or error}: {error.filename}" if error.filename else str(error.strerror or error))
    finally:
        if args is not None:  # called from Python, which goes on
            for signum, handler in previous.items():
                signal.signal(signum, handler)


def _interrupt(signum: int, frame: FrameType | None) -> None:
    raise Interrupted(signum)


def _say_how_to_continue(signum: int, words: list[str]) -> None:
    name = "Ctrl-C" if signum == signal.SIGINT else signal.Signals(signum).name
    program = sys.argv[0] if Path(sys.argv[0]).name == "al-lightning" else "al-lightning"
    command = shlex.join([program, *words])
    after_echo = "\n" if sys.stderr.isatty() else ""  # a terminal shows ^C
    print(f"{after_echo}Stopped by {name}. To continue, give the same command: {command}", file=sys.stderr, flush=True)


def _fail(sentence: str) -> None:
    """Ends the program for bad input."""
    print(f"al-lightning: error: {' '.join(sentence.split())}", file=sys.stderr)
    sys.exit(2)
