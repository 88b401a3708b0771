"""A whole run verified: its files, what they were made from, and what of that lies elsewhere."""

from ensemble_uq_llm.config_file import load_config
from ensemble_uq_llm.errors import ConfigError, EnsembleUQError
from ensemble_uq_llm.run_folder import RunFolder
from ensemble_uq_llm.storage.manifest import sound_manifest
from ensemble_uq_llm.utils.text import first_line
from ensemble_uq_llm.verification.audit import Audit
from ensemble_uq_llm.verification.links import check_made_from, check_members, check_origins, member_records, origins
from ensemble_uq_llm.verification.outside import check_base, check_training_data
from ensemble_uq_llm.verification.parents import check_parents
from ensemble_uq_llm.verification.recorded import check_checkpoints, check_recorded_files, own_files


def verify(folder: RunFolder) -> Audit:
    """Check everything in a run, or in the `--output` of an evaluation; nothing is written, and all findings are told.

    Raises:
        ConfigError: there is neither.
    """
    if not (folder.manifest.exists() or folder.holds_run() or own_files(folder)):
        raise ConfigError(f"{folder.root}: neither a run nor an evaluation is here; name the folder of one")
    into = Audit(folder=folder.root)
    check_recorded_files(folder, into)
    check_checkpoints(folder, into)
    manifest = sound_manifest(folder.root)
    records = member_records(folder, into)
    check_members(folder, manifest, records, into)
    if manifest is not None:
        check_made_from(folder, manifest, into)
        check_origins(folder, origins(folder, into), records, into)
    check_parents(records.values(), into)
    try:
        config, known = load_config(folder.root), folder.record().get("base_files")
    except EnsembleUQError as error:
        if records:
            into.unchecked.append(f"base and training data: {first_line(error)}")
        return into
    check_base(config, records.values(), known, into)
    check_training_data(folder, config, records, into)
    return into
