import numpy as np
import pytest

from keras_deeplab.data.class_table import ClassTable, parse_class_table, read_class_table

TABLE = ClassTable(("road", "water"), ((1, 2, 3), (255, 0, 9)), ignore_colors=((0, 0, 0),))


def test_colours_decode_exactly():
    mask = np.array([[(1, 2, 3), (255, 0, 9)], [(0, 0, 0), (1, 2, 3)]], np.uint8)
    np.testing.assert_array_equal(TABLE.decode(mask), [[0, 1], [255, 0]])


def test_unknown_colour_is_named_with_its_place():
    mask = np.full((4, 5, 3), (1, 2, 3), np.uint8)
    mask[2, 3] = mask[3, 0] = (1, 2, 4)
    message = r"x\.png: .*\(1, 2, 4\) in 2 pixels; the first at row 2, column 3"
    with pytest.raises(ValueError, match=message):
        TABLE.decode(mask, where="x.png")


def test_indices_pass_and_others_are_named():
    np.testing.assert_array_equal(TABLE.decode(np.array([[0, 1, 255]])), [[0, 1, 255]])
    with pytest.raises(ValueError, match=r"values \[2, 300\] are outside .* \(0\.\.1 and 255"):
        TABLE.decode(np.array([[0, 2, 300]]))


def test_json_round_trip():
    assert parse_class_table(TABLE.to_json()) == TABLE
    plain = ClassTable(("a", "b"))
    assert parse_class_table(plain.to_json()) == plain


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not valid JSON"),
        ("{}", "expected"),
        ('{"classes": []}', "1 to 255 classes, got 0"),
        ('{"classes": [{"name": "a", "rgb": [1, 2, 300]}]}', "three integers 0..255"),
        ('{"classes": [{"name": "a", "rgb": [1, 2, 3]}, {"name": "b"}]}', "for all classes"),
        (
            '{"classes": [{"name": "a", "rgb": [1, 2, 3]}, {"name": "b", "rgb": [1, 2, 3]}]}',
            "used twice",
        ),
    ],
)
def test_a_bad_file_is_named(tmp_path, text, message):
    path = tmp_path / "classes.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        read_class_table(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_byte_order_mark_is_read(tmp_path, encoding):
    path = tmp_path / "classes.json"
    path.write_text('{"classes": [{"name": "Gebäude"}]}', encoding=encoding)
    assert read_class_table(path) == ClassTable(("Gebäude",))
    path.write_bytes('{"classes": [{"name": "Gebäude"}]}'.encode("latin-1"))
    with pytest.raises(ValueError, match=r"classes.json is not valid JSON"):
        read_class_table(path)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"color": [9, 9, 9]}, """Table x: class 'b' has the key 'color': colours need "rgb"."""),
        ({"Colour": "#090909"}, "the key 'Colour'"),
        ({"palette": [9, 9, 9]}, "the key 'palette'"),
        ({"RGB": [9, 9, 9]}, "the key 'RGB'"),
        ({"value": 2}, "class 'b' has 'value' 2, but it is class 1: the value of a class"),
        ({"trainId": 255}, "class 'b' has 'trainId' 255"),
        ({"id": "0"}, "class 'b' has 'id' '0'"),
    ],
)
def test_keys_that_would_have_no_effect_are_refused(entry, message):
    with pytest.raises(ValueError) as caught:
        parse_class_table({"classes": [{"name": "a"}, {"name": "b", **entry}]}, where="Table x")
    assert message in str(caught.value)


def test_other_keys_are_ignored():
    extra = {"width": 3, "note": "paved", "valid": True, "id": 0}
    assert parse_class_table({"classes": [{"name": "a", **extra}]}) == ClassTable(("a",))
    extra = {"rgb": [1, 2, 3], "color": "#000000", "value": 7}  # decoded by rgb
    table = parse_class_table({"classes": [{"name": "a", **extra}]})
    assert table == ClassTable(("a",), ((1, 2, 3),))
