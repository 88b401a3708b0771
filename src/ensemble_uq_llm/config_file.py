"""YAML in and out of a Config: strict reading with every problem at once, `--set` overrides, commented writing."""

import stat
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from ensemble_uq_llm.config import EMBEDDED_MODEL, SKIP_CROSS_CHECKS, Config
from ensemble_uq_llm.config_problems import MOST_PROBLEMS, cross_problems, field_problems, told, unknown_keys
from ensemble_uq_llm.errors import ConfigError
from ensemble_uq_llm.run_folder import RunFolder
from ensemble_uq_llm.storage.guard import read_of_run
from ensemble_uq_llm.storage.kinds import kind_of
from ensemble_uq_llm.utils.files import AnyPath, as_path, expanded, path_problem
from ensemble_uq_llm.utils.flat_yaml import MAX_CHARACTERS, parse_flat_yaml, parse_scalar, write_value
from ensemble_uq_llm.utils.suggest import did_you_mean, nearest
from ensemble_uq_llm.utils.text import clipped, cut

AS_SPELLED: Final = ("class_names", "answers")
"""A class named 01 or 1e5 in the YAML is named so, and not 1 or 100000.0."""

LONGEST_ORIGIN: Final = 120


@dataclass(frozen=True, slots=True)
class ResolvedConfig:
    """A configuration and, for every key, where its value came from: `default`, `FILE:LINE` or `--set`."""

    config: Config
    origins: dict[str, str]


def load_config(path: AnyPath | None, overrides: Sequence[str] = ()) -> Config:
    """Read a YAML file or a run folder (None: defaults only) and apply `key=value` overrides.

    The `output_dir` of a run folder's configuration is the folder itself, wherever it lies now.

    Raises:
        ConfigError: the file cannot be read, the folder is not a run, or any key is wrong; the message lists
            every problem.
    """
    return resolve_config(path, overrides).config


def resolve_config(path: AnyPath | None, overrides: Sequence[str] = ()) -> ResolvedConfig:
    """Like `load_config`, and also tell where each value came from.

    Raises:
        ConfigError: as `load_config`.
    """
    part = usable_part(path, overrides)
    if part.problems:
        raise ConfigError("\n".join(part.problems))
    return ResolvedConfig(part.config, {key: part.origins[key] for key in Config.model_fields})


@dataclass(frozen=True, slots=True, kw_only=True)
class UsablePart:
    """What can be used of a configuration, defaults in place of the rest, and what is wrong with the rest."""

    config: Config
    origins: dict[str, str]
    problems: list[str]
    wrong: frozenset[str]
    """The keys of the values that cannot be used."""


def usable_part(path: AnyPath | None, overrides: Sequence[str] = ()) -> UsablePart:
    """Read a configuration as far as it can be used, to look for further problems.

    Raises:
        ConfigError: nothing can be read. IntegrityError: it is a run's own, and not as it was written.
    """
    values: dict[str, Any] = {}
    origins = dict.fromkeys(Config.model_fields, "default")
    problems: list[str] = []
    if path is not None:
        path = as_path(path, "config")
        if problem := path_problem(str(path)):
            raise ConfigError(f"config: {problem}, found {clipped(str(path))}")
        file = _yaml_of(path)
        own = RunFolder(path).read(file) if file != path else read_of_run(file)
        text = _read_text(file, own)
        entries, yaml_problems = parse_flat_yaml(text, as_spelled=AS_SPELLED)
        problems += [f"{file}:{problem.line}: {problem.message}" for problem in yaml_problems]
        for key, entry in entries.items():
            values[key], origins[key] = entry.value, f"{file}:{entry.line}"
        if file != path:
            values["output_dir"], origins["output_dir"] = str(path), str(path)
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals:
            problems.append(f"--set {cut(override)}: write it as key=value")
            continue
        key = key.strip()
        values[key] = parse_scalar(text, as_spelled=key in AS_SPELLED)
        origins[key] = f"--set {cut(f'{key}={text}', LONGEST_ORIGIN)}"
    config, value_problems, wrong = _build(values, origins)
    return UsablePart(config=config, origins=origins, problems=told(problems + value_problems), wrong=wrong)


def _yaml_of(path: Path) -> Path:
    """Return the YAML that a path names: itself, or the one inside a run folder."""
    if not path.is_dir():
        return path
    inside = RunFolder(path).config
    if not inside.exists():
        remedy = "name a YAML file or a run folder"
        if RunFolder(path).members():
            remedy = (
                "train again with the YAML that made its members, which writes the file and trains none of them anew"
            )
        raise ConfigError(f"{path}: a folder without {inside.name}, so not a run; {remedy}")
    return inside


def config_to_yaml(config: Config) -> str:
    """Write every key of a configuration as YAML that `load_config` reads back unchanged."""
    return "".join(_yaml_line(key, value) for key, value in config.model_dump(mode="json").items())


def with_absolute_paths(config: Config) -> Config:
    """Return the configuration with local inputs as absolute paths, so that a run can be used from any folder."""
    changes: dict[str, Any] = {
        key: path.resolve() for key in ("train_file", "validation_file") if (path := getattr(config, key)) is not None
    }
    if (model := expanded(Path(config.model_name))).exists() and config.model_name != EMBEDDED_MODEL:
        changes["model_name"] = str(model.resolve())
    return config.model_copy(update=changes)


def commented_template() -> str:
    """Write a YAML with every key at its default, each under the sentence that documents it."""
    defaults = Config().model_dump(mode="json")
    blocks = [f"# {field.description}\n{_yaml_line(key, defaults[key])}" for key, field in Config.model_fields.items()]
    return "# Configuration of EnsembleUQLLM. These are the defaults: delete what you do not change.\n\n" + "\n".join(
        blocks
    )


def _yaml_line(key: str, value: Any) -> str:
    return f"{key}: {write_value(value)}\n"


def _read_text(path: Path, own: bytes | None) -> str:
    """Return what a file holds, or a little more than may be in it: never all of what is endless.

    `own` are the verified bytes of a run's configuration.
    """
    try:
        if own is not None:
            return TextIOWrapper(BytesIO(own), encoding="utf-8-sig").read(MAX_CHARACTERS + 1)
        if not stat.S_ISREG(mode := path.stat().st_mode):
            raise ConfigError(f"{path}: not a file but {kind_of(mode)}; name a YAML file or a run folder")
        with path.open(encoding="utf-8-sig") as stream:
            return stream.read(MAX_CHARACTERS + 1)
    except FileNotFoundError:
        folder = path.parent if path.parent.is_dir() else Path()
        near = did_you_mean(path.name, (p.name for p in folder.glob("*.y*ml")))
        raise ConfigError(f"{path}: there is no such file{near}; `ensemble-uq init` writes one") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None


def _build(values: dict[str, Any], origins: dict[str, str]) -> tuple[Config, list[str], frozenset[str]]:
    """Validate; on failure leave out the wrong keys and look for the problems that they hid."""
    problems = [(key, text) for key, text in unknown_keys(values, Config.model_fields)]
    meant = {near for key, _ in problems[:MOST_PROBLEMS] if (near := nearest(key, Config.model_fields))}
    known = {key: value for key, value in values.items() if key in Config.model_fields}
    try:
        config = Config.model_validate(known)
        wrong: set[str] = set()
    except ValidationError as error:
        details = [detail for detail in error.errors() if detail["loc"]]
        wrong = {str(detail["loc"][0]) for detail in details}
        problems = [*field_problems(details), *problems]
        rest = {key: value for key, value in known.items() if key not in wrong}
        config = Config.model_validate(rest, context=SKIP_CROSS_CHECKS)
        for keys, text in cross_problems(config):
            if not wrong & set(keys):
                place = next((key for key in keys if origins[key] != "default"), keys[0])
                problems.append((place, text))
                wrong |= set(keys)
    texts = [f"{origins[key]}: {text}" for key, text in problems]
    return config, texts, frozenset(wrong | meant | (set(values) - set(known)))
