"""The command that checks a run: is everything as it was written, and made from what there is now."""

from pathlib import Path
from typing import Annotated

import typer

from ensemble_uq_llm.commands.options import AsJson, home_path
from ensemble_uq_llm.commands.targets import check_exists
from ensemble_uq_llm.errors import ConfigError, IntegrityError
from ensemble_uq_llm.printing import console_for, print_json
from ensemble_uq_llm.storage.manifest import accepting
from ensemble_uq_llm.utils.text import counted


def verify(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", parser=home_path, help="A run folder, or the --output of an evaluation.")
    ],
    accept: Annotated[
        bool, typer.Option("--accept", help="Say what differs, then record the folder as it is.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Check that every file of a run is as it was written, and made from what there is now.

    Nothing is written without --accept. Exit code 5 if anything is wrong; all of it is listed.
    """
    from ensemble_uq_llm.run_folder import RunFolder
    from ensemble_uq_llm.verification.acceptance import accept as record_as_it_is
    from ensemble_uq_llm.verification.verify import verify as verify_run

    check_exists(folder)
    if not folder.is_dir():
        raise ConfigError(f"{folder}: a file, and what is verified is the folder of a run or of an evaluation; name it")
    run, console = RunFolder(folder), console_for(as_json=as_json)
    found = verify_run(run)
    if accept and not found.is_sound:
        console.print("\n  ".join(["accepted as it is:", *found.lines()]), soft_wrap=True)
        record_as_it_is(run)
        found = verify_run(run)
    if as_json:
        print_json(found.as_json())
        if not found.is_sound:
            raise typer.Exit(IntegrityError.exit_code)
        return
    for each in found.unchecked:
        console.print(f"not checked: {each}", soft_wrap=True)
    if not found.is_sound:
        advice = (
            "These do not fit the others, whatever is recorded: make them again, or delete them and accept that"
            if accept
            else "Restore these, or make them again, and move elsewhere what the run did not write; or, if they are as "
            f"you want them, record them as they are: {accepting(folder)}"
        )
        lines = found.lines()
        raise IntegrityError("\n  ".join([f"{folder}: {counted(len(lines), 'finding')}:", *lines]) + f"\n{advice}")
    console.print(f"sound: {folder} ({found.summary()})", soft_wrap=True)
