import datetime
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest

from ensemble_uq_llm.errors import DataError
from ensemble_uq_llm.predictions.foreign.cells import numbers, whole_numbers
from ensemble_uq_llm.predictions.foreign.table_file import TableFile


def file_of(values, kind=None):
    table = pa.table({"x": pa.array(values, kind)})
    return TableFile(path=None, table=table, place=lambda row: f"line {row + 2}")


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ([1, None], [1, np.nan]),
        ([0.1, -2e300], [0.1, -2e300]),
        (["0.1", " 1 ", "1e-3", "inf", "nan", None], [0.1, 1, 1e-3, np.inf, np.nan, np.nan]),
        ([Decimal("0.25")], [0.25]),
        (pa.array(["0.5", "1"]).dictionary_encode(), [0.5, 1]),
        (pa.nulls(2), [np.nan, np.nan]),
        (["1e400"], [np.inf]),
    ],
)
def test_numbers_however_they_are_written(values, wanted):
    assert np.array_equal(numbers(file_of(values), "x"), wanted, equal_nan=True)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["1"] * 7 + ["high"] + ["1"] * 9 + ["low"], "line 9: x is 'high'; it must be a number"),
        (["0x10"], "line 2: x is '0x10'"),
        (["0_1"], "line 2: x is '0_1'"),
        (["\uff11"], "line 2: x is '\uff11'"),
        ([True], "line 2: x is True; it must be a number"),
        ([datetime.date(1970, 1, 1)], "line 2: x is datetime.date"),
        ([datetime.datetime(1970, 1, 1)], "line 2: x is datetime.datetime"),
        ([[1.0]], "line 2: x is a list of 1"),
        (["9" * 200 + "x"], "line 2: x is '9{80}'"),
    ],
)
def test_what_is_no_number_is_named(values, message):
    with pytest.raises(DataError, match=message):
        numbers(file_of(values), "x")


@pytest.mark.parametrize("values", [[7, 2**62], ["7", str(2**62)], pa.array([7, 2**62], pa.uint64())])
def test_whole_numbers_keep_every_digit(values):
    assert whole_numbers(file_of(values), "x").tolist() == [7, 2**62]


@pytest.mark.parametrize("values", [[7.0, 1000.0], ["7.0", "1e3"], [Decimal("7.00"), Decimal("1000.00")]])
def test_whole_numbers_with_a_point(values):
    assert whole_numbers(file_of(values), "x").tolist() == [7, 1000]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1.0, 1.5], "line 3: x is 1.5; it must be a whole number"),
        (["1", "much"], "line 3: x is 'much'; it must be a whole number"),
        (["9" * 30], "line 2: x is '9{30}'; it must be a whole number"),
        ([datetime.datetime(2020, 1, 1)], "line 2: x is datetime.datetime.*; it must be a whole number"),
        ([False], "line 2: x is False; it must be a whole number"),
    ],
)
def test_what_is_no_whole_number_is_named(values, message):
    with pytest.raises(DataError, match=message):
        whole_numbers(file_of(values), "x")
