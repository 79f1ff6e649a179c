"""Commands in texts: data until results leave, then complete lines that continue what the store holds."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

import pytest

from analyze import Results, wording
from analyze.advice import completed
from analyze.stats.result import Shortage
from analyze.texts import Command, Text, joined, phrase, quoted
from store.advice import Advice, load_advice
from tests.store.build import make_records, make_run, make_store

SHAPES = Command("shapes", repeats=5)


@dataclass(frozen=True)
class Row:
    """A row with texts, about one dataset and family under a protocol."""

    dataset: str | None
    family: str | None
    protocol_id: str | None
    reason: str | None
    command: str | None = None


def test_a_text_knows_its_commands() -> None:
    text = phrase("too few: run ", quoted(SHAPES), " or wait")
    assert isinstance(text, Text)
    assert text == "too few: run `generate shapes --repeats 5` or wait"
    assert text.parts == ("too few: run ", "`", SHAPES, "`", " or wait")
    assert text.in_full(lambda command: command.phase.upper()) == "too few: run `SHAPES` or wait"
    longer = joined(["first", None, "", text, "last"])
    assert isinstance(longer, Text)
    assert [part for part in longer.parts if isinstance(part, Command)] == [SHAPES]
    assert longer == f"first; {text!s}; last"


def test_words_without_commands_are_plain() -> None:
    assert type(phrase("a", "b")) is type(joined(["a", "b"], ", ")) is str
    assert (phrase("a", "b"), joined(["a", None, "b"], ", "), joined([None, ""])) == ("ab", "a, b", "")


def test_a_text_with_commands_is_not_formatted_away() -> None:
    text = phrase(SHAPES)
    with pytest.raises(TypeError, match="phrase"):
        f"{text}"
    with pytest.raises(TypeError, match="phrase"):
        text + "."


def test_a_command_is_short_until_a_store_completes_it() -> None:
    command = Command("convergence", ("my images",), ("dnn", "vit"), (2, 5), (1,), repeats=10, epochs=3)
    assert str(command) == (
        "generate convergence --dataset 'my images' --family dnn --family vit --depths 1 --capacities 2,5 --repeats 10"
        " --epochs 3"
    )


@pytest.fixture(scope="module")
def advice(tmp_path_factory: pytest.TempPathFactory) -> Advice:
    """Return the advice of a store whose dataset has a name that a shell would take apart, in two families."""
    runs = [make_run((width,), dataset="it's, mine", replicate=r) for width in (2, 5) for r in range(5)]
    runs += [make_run((3,), dataset="it's, mine", family="cnn")]
    store = make_store(tmp_path_factory.mktemp("texts") / "s.duckdb", make_records(runs))
    return load_advice(store.path)


def one(advice: Advice, row: Row) -> Row:
    (found,) = completed(Results(Row, (row,)), lambda: advice, ())
    return found


def test_a_row_says_what_its_commands_are_about(advice: Advice) -> None:
    name = "it's, mine"
    reason = phrase("too few: run ", quoted(Command("convergence", repeats=30)), "; or wait")
    row = one(advice, Row(name, "dnn", None, reason, phrase(Command("quantization", capacities=(2,)))))
    full = advice.command("convergence", name, "dnn", repeats=30)
    assert row.reason == f"too few: run `{full}`; or wait"
    assert row.command == advice.command("quantization", name, "dnn", capacities=(2,))
    assert type(row.reason) is type(row.command) is str
    words = shlex.split(full)
    assert words[words.index("--dataset") + 1] == name
    assert one(advice, row) is row


def test_a_command_goes_before_its_row(advice: Advice) -> None:
    row = one(advice, Row("other", "vit", "p", phrase(Command("convergence", ("it's, mine",), ("cnn",), (7, 8)))))
    assert row.reason == advice.command("convergence", "it's, mine", "cnn", capacities=(7, 8))


def test_families_with_other_options_take_a_line_each(advice: Advice) -> None:
    row = one(advice, Row("it's, mine", None, None, phrase(Command("convergence", repeats=6))))
    lines = (row.reason or "").split(" && ")
    assert [shlex.split(line)[shlex.split(line).index("--family") + 1] for line in lines] == ["dnn", "cnn"]


def test_topologies_have_families_of_their_own(advice: Advice) -> None:
    row = one(advice, Row("it's, mine", "cnn", None, wording.one(Shortage("topologies", 1, 2))))
    assert row.reason == f"one topology only: run `{advice.command('shapes', row.dataset or '')}`"
    assert "cnn" not in (row.reason or "")


def test_remarks_are_about_the_chosen_datasets(advice: Advice) -> None:
    note = phrase("none yet; ", quoted(Command("shapes")), " adds them")
    found = completed(Results(Row, (), ("plain", note)), lambda: advice, ("it's, mine",))
    full = advice.command("shapes", "it's, mine")
    assert found.notes == ("plain", f"none yet; `{full}` adds them")


def test_a_store_is_asked_only_for_commands() -> None:
    def refuse() -> Advice:
        raise AssertionError("no command, no advice")

    plain = Results(Row, (Row("a", "dnn", None, "the same `generate` again"),), ("plain",))
    assert completed(plain, refuse, ()) == plain
