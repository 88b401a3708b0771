"""A column that says which group an example belongs to, out of any table, by the examples' ids."""

from collections.abc import Mapping

from ensemble_uq_llm.errors import ConfigError, DataError
from ensemble_uq_llm.predictions.foreign.column_names import with_our_names
from ensemble_uq_llm.predictions.foreign_tables import table_file
from ensemble_uq_llm.utils.files import AnyPath, as_path
from ensemble_uq_llm.utils.suggest import did_you_mean
from ensemble_uq_llm.utils.text import clipped, listed


def read_groups(
    path: AnyPath, column: str, *, columns: Mapping[str, str] | None = None, apart: bool = False
) -> dict[str, str]:
    """Return the group of every example by its id; of the predictions' own table without ids rows are counted from 0.

    Args:
        path: a table as `load_predictions` reads it; it need not hold predictions.
        column: the column of the groups; its values are taken as text.
        columns: what the file calls our columns.
        apart: whether it is another table than that of the predictions, whose rows may stand in another order.

    Raises:
        ConfigError: the column is that of the labels. DataError: the file is missing, torn, or no
            table; a column is not there; a value is empty; or an example is in two groups.
    """
    path = as_path(path, "groups")
    if column in ("label", (columns or {}).get("label")):
        raise ConfigError(
            f"--group {column}: the true labels, which nobody knows when a question comes; name another column, or "
            "take the predicted classes apart with --by-class"
        )
    own = {ours: theirs for ours, theirs in (columns or {}).items() if ours == "id"}
    file = table_file(path, columns=own)
    names = file.table.column_names
    if column not in names:
        raise DataError(
            f"{path}: there is no column {clipped(column)}; there are {listed(names)}{did_you_mean(column, names)}"
        )
    if names.count(column) > 1:
        raise DataError(f"{path}: column {clipped(column)} is there twice; keep one of them")
    values = file.table.column(column).to_pylist()
    named = with_our_names(file, own).table
    if apart and "id" not in named.column_names:
        raise DataError(
            f"{path}: there is no column 'id', by which its rows are joined to the predictions; there are "
            f"{listed(names)}; call the one of the ids so"
        )
    ids = map(str, named.column("id").to_pylist() if "id" in named.column_names else range(len(values)))
    groups: dict[str, str] = {}
    for row, (name, value) in enumerate(zip(ids, values, strict=True)):
        if value is None or isinstance(value, list | dict) or str(value).strip() == "":
            is_now = "empty" if value is None else clipped(value)
            raise DataError(f"{path}: {file.place(row)}: {column} is {is_now}; give every example its group")
        if groups.setdefault(name, str(value)) != str(value):
            raise DataError(
                f"{path}: {file.place(row)}: example {clipped(name)} is in group {clipped(value)} here and in "
                f"{clipped(groups[name])} above; give it one"
            )
    return groups
