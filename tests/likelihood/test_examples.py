"""The examples of the library's page give what stands there."""

import doctest

import pytest

from nuisflow.storage import sources

PAGE = sources.SCRIPTS / "nuisflow" / "likelihood" / "README.md"


def test_the_page_has_ten_examples_that_give_what_they_say():
    pytest.importorskip("pyhf")
    text = PAGE.read_text().replace("```", "")
    examples = doctest.DocTestParser().get_doctest(text, {}, "README.md", str(PAGE), 0)
    told = []
    failed, tried = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(examples, out=told.append)
    assert tried > 20
    assert not failed, "".join(told)
    assert [f"**{number}." in text for number in range(1, 12)] == [True] * 10 + [False]
