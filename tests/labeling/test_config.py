"""What a labeller sees around the picture in Label Studio."""

from xml.etree import ElementTree

from labeling.config import BOX, BRUSH, CLICK, FRAME, POLYGON, SAID, is_current, label_config, labels_of


def test_every_row_of_labels_says_which_tool_it_is_for_and_an_older_project_is_given_the_words():
    config = label_config(["scratch", "dent"])
    rows = [line for line in ElementTree.fromstring(config) if line.find(".//Header") is not None]
    tools = [next(tool for tool in row if tool.find("Label") is not None).get("name") for row in rows]
    assert tools == [BRUSH, POLYGON, BOX, CLICK, FRAME]
    assert len({row.find(".//Header").get("value") for row in rows}) == len(rows)
    assert is_current(config)
    assert not is_current(config.replace(SAID[CLICK], "?"))
    assert labels_of(config) == ["scratch", "dent"]
