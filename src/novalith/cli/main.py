"""The entry point: collects the verbs and turns errors into one sentence and an exit code."""

from __future__ import annotations

import sys
import tempfile
import traceback
from importlib import import_module
from pathlib import Path
from types import ModuleType

import typer
from typer.exceptions import Abort, TyperException

import novalith
from novalith.errors import NovalithError, StorageError

#: One module each; a module offers `command` (a verb) or `app` (a verb with verbs of its own).
VERBS = (
    "data",
    "discover",
    "evaluate",
    "hull",
    "relax",
    "rediscover",
    "report",
    "cite",
    "sample",
    "screen",
    "validate",
    "dft",
    "predict",
    "encode",
    "decode",
    "fields",
    "compose",
    "twod",
    "train",
    "bench",
)


def build() -> typer.Typer:
    """The application with every verb."""
    app = typer.Typer(
        name="novalith",
        help="Generative discovery of inorganic materials: from which elements to these crystals, for these reasons.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    app.callback()(_options)
    for verb in VERBS:
        module: ModuleType = import_module(f"novalith.cli.{verb}")
        if hasattr(module, "app"):
            app.add_typer(module.app, name=verb)
        else:
            app.command(verb)(module.command)
    return app


def _show_version(value: bool) -> None:
    if value:
        print(f"novalith {novalith.__version__}")
        raise typer.Exit


def _options(
    version: bool = typer.Option(
        False, "--version", callback=_show_version, is_eager=True, help="Print the version and exit."
    ),
) -> None:
    """Generative discovery of inorganic materials: from which elements to these crystals, for these reasons."""
    del version


def run() -> None:
    """Run the command line; ends with exit code 0 only when it did what was asked."""
    try:
        code = build()(standalone_mode=False)
    except NovalithError as error:
        _fail(str(error), error.exit_code)
    except Abort:
        _fail("Stopped.", 130)
    except TyperException as error:
        context = getattr(error, "ctx", None)
        verb = "novalith" if context is None else context.command_path
        _fail(f"{error.format_message().rstrip('.')}. Run '{verb} --help' for what it takes.", error.exit_code)
    except KeyboardInterrupt:
        _fail("Stopped. What was finished is kept; the same command goes on from there.", 130)
    except OSError as error:
        _fail(str(as_storage_error(error)), StorageError.exit_code)
    except Exception as error:  # noqa: BLE001  the last door: the trace goes to a file, one line to the person
        trace = Path(tempfile.mkstemp(prefix="novalith-", suffix=".log")[1])
        trace.write_text(traceback.format_exc(), encoding="utf-8")
        _fail(f"Unexpected {type(error).__name__}: {error}. This is a fault of novalith; the trace is in {trace}.", 70)
    sys.exit(code if isinstance(code, int) else 0)


def as_storage_error(error: OSError) -> StorageError:
    """A refusal of the file system in one sentence that names the path and the cause."""
    where = error.filename or "the output folder"
    return StorageError(f"{where}: {error.strerror or error}. Check the path, its permissions and the free space.")


def _fail(message: str, code: int) -> None:
    print(f"novalith: {message}", file=sys.stderr)
    sys.exit(code)
