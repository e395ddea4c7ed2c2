"""What is said of files that are not YAML, and of YAML that does not mean what it looks like."""

import pytest
from analyses import ROOT, changed, shipped

from nuisflow.settings.checks import reading
from nuisflow.settings.checks.reading import ConfigurationError

DITAU = shipped("config")


def refused(folder, text):
    path = folder / "mine.yaml"
    path.write_text(text)
    with pytest.raises(ConfigurationError) as error:
        reading.read(path)
    return str(error.value).removeprefix(f"{folder}/")


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("seed: 1\ntitle: a: b\n", "line 2, column 9", "a second ': ' in one entry (put the text in quotes)"),
        ("a:\n\tb: 1\n", "line 2, column 1", "a tab: indent with spaces"),
        ("a: [1, 2\nb: 3\n", "line 2, column 2", "while parsing a flow sequence from line 1 on"),
        ("a: 1\nb: 'x\n\nc: 3\n", "line 5, column 1", "while scanning a quoted scalar from line 2 on"),
        ("a: %x\n", "line 1, column 4", "a text that begins with % needs quotes"),
        ("a: 2026-13-45\n", "line 1, column 4", "looks like a date and is none (month must be in 1..12)"),
        ("a: !!int x\n", "line 1, column 4", "'x' looks like a whole number and is none"),
        ("? [a]\n: 1\n", "line 1, column 3", "a name must be text, not a list or a mapping"),
        ("1: {}\n", "line 1, column 1", 'the name 1 is a number in YAML, not text; put it in quotes, "1"'),
        ("a: {~: 1}\n", "line 1, column 5", 'the name ~ is nothing in YAML, not text; put it in quotes, "~"'),
        ("a: {b: 1,\n    c: 2, b: 3}\n", "line 2, column 11", "'b' is there twice; remove one"),
    ],
)
def test_a_file_that_is_not_yaml_is_refused_with_line_and_column(tmp_path, text, place, words):
    found = refused(tmp_path, text)
    assert found.startswith(f"mine.yaml: {place}: ")
    assert words in found


def test_the_line_is_shown_with_a_mark_below_the_column(tmp_path):
    assert refused(tmp_path, "seed: 1\ntitle: a: b\n").splitlines()[1:] == ["    title: a: b", "            ^"]


def test_a_file_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "mine.yaml").write_bytes(b"title: H\xf6he")
    with pytest.raises(ConfigurationError, match="mine.yaml: not text in UTF-8"):
        reading.read(tmp_path / "mine.yaml")


@pytest.mark.parametrize(("word", "meaning"), [("no", "false"), ("off", "false"), ("yes", "true"), ("On", "true")])
def test_a_name_that_yaml_takes_for_a_truth_value_is_refused_with_its_place_and_remedy(tmp_path, word, meaning):
    found = refused(tmp_path, f"processes:\n  signal: {{role: signal}}\n  {word}: {{}}\n")
    assert found.startswith(f"mine.yaml: line 3, column 3: the name {word} means {meaning} in YAML; ")
    assert f'put it in quotes, "{word}"' in found
    (tmp_path / "mine.yaml").write_text(f'processes:\n  "{word}": {{}}\n')
    assert reading.read(tmp_path / "mine.yaml") == {"processes": {word: {}}}


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ("samples.ttbar.process", False, "samples.ttbar.process: must be text, but no, off and false mean false"),
        ("variations.ttbar_rate.processes", [True], "variations.ttbar_rate.processes.0: must be text, but yes, on"),
        ("selection", 26, 'selection: must be text; put the number in quotes: "26"'),
        ("plots.title", ["a"], "plots.title: must be text (got ['a'])"),
    ],
)
def test_a_value_that_should_be_text_names_its_place_and_says_to_put_it_in_quotes(place, value, message):
    with pytest.raises(ConfigurationError) as error:
        reading.check(changed(DITAU, (place, value)))
    assert message in str(error.value)


def test_a_process_whose_name_became_a_truth_value_is_refused_also_without_a_file():
    content = changed(DITAU, ("seed", 1))
    content["processes"][False] = {}
    with pytest.raises(ConfigurationError, match="processes: must be text, but no, off and false mean false in YAML"):
        reading.check(content)


@pytest.mark.parametrize("path", sorted((ROOT / "config").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_fast_reader_and_the_one_that_explains_mistakes_read_the_same(path):
    assert reading.read(path) == reading._explained(path.read_text(encoding="utf-8"), path)
