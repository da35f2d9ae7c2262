import numpy as np
import pytest

from keras_smes.features.raw.conversion import to_float32, to_int64, to_strings

LARGEST = 2**63 - 1


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([7, -(2**63), LARGEST], [7, -(2**63), LARGEST]),
        ([7, None], [7, -1]),
        (np.array([7, 8], np.uint8), [7, 8]),
        (np.array([LARGEST], np.uint64), [LARGEST]),
        (np.array([7.0, np.nan, 2.0**53 - 1]), [7, -1, 2**53 - 1]),
        (np.array([np.int32(7), None], object), [7, -1]),
        ([], []),
    ],
)
def test_ids_become_int64(values, expected):
    found = to_int64("id", values)
    assert found.dtype == np.int64
    assert found.tolist() == expected


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1, 2**63], r"'id' takes ids within int64. Received: 9223372036854775808 at position 1"),
        ([-(2**63) - 1], "-9223372036854775809 at position 0"),
        (np.array([0, 2**63, 2**63], np.uint64), r"9223372036854775808 at position 1, one of 2"),
        (np.array([1.0, 7.5]), "'id' takes integers. Received: 7.5 at position 1"),
        (np.array([np.inf]), "inf at position 0"),
        (np.array([2.0**53 + 2]), "that float64 holds exactly. Received: 9007199254740994.0"),
        (np.array([float(2**53 + 1)]), "that float64 holds exactly. Received: 9007199254740992.0"),
        (np.array([2.0**24 + 2], np.float32), "that float32 holds exactly"),
        (["7"], "'id' takes integers. Received: values of type str"),
        ([7, 7.0], "values of type float, int"),
        ([True], "values of type bool"),
        (np.array([True]), "values of type bool"),
        (np.array(["7"]), "'id' takes integers"),
        (np.zeros((2, 3), np.int64), r"shape \(2, 3\)"),
        ([[1, 2]], "values of type list"),
    ],
)
def test_what_is_no_int64_is_refused(values, message):
    with pytest.raises(ValueError, match=message):
        to_int64("id", values)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, 2.5, None], [1.0, 2.5, np.nan]),
        (np.array([1, 2], np.int16), [1.0, 2.0]),
        (np.array([1e300, -np.inf]), [np.inf, -np.inf]),
        ([10**400, -(10**400)], [np.inf, -np.inf]),
        ([], []),
    ],
)
def test_numbers_become_float32(values, expected):
    found = to_float32("age", values)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, np.array(expected, np.float32))


@pytest.mark.parametrize("values", [["30"], np.array(["30"]), [True], np.array([True]), [1j]])
def test_what_is_no_number_is_refused(values):
    with pytest.raises(ValueError, match=r"'age' takes numbers. Received: values of type"):
        to_float32("age", values)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["f", None, "ø".encode()], ["f", "", "ø"]),
        (np.array(["f", "mm"]), ["f", "mm"]),
        (np.array([b"f"]), ["f"]),
        ([np.str_("f")], ["f"]),
        ([], []),
        (np.array([]), []),
    ],
)
def test_strings_become_str(values, expected):
    found = to_strings("sex", values)
    assert found.dtype == object
    assert [type(value) for value in found] == [str] * len(expected)
    assert found.tolist() == expected


def test_what_is_no_string_is_refused():
    with pytest.raises(ValueError, match=r"'sex' takes strings. Received: values of type int, str"):
        to_strings("sex", ["f", 1])
    with pytest.raises(ValueError, match=r"'sex' takes strings. Received: values of type int64"):
        to_strings("sex", np.array([1]))
    with pytest.raises(ValueError, match=r"UTF-8. Received: b'\\xff'"):
        to_strings("sex", [b"\xff"])
