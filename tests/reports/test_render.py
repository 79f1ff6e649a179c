"""`reports render`: content, limits, and every wrong input."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import altair
import duckdb
import pytest
from click.testing import Result

import reports
from analyze.questions.reach import reach_in_words
from reports import answer, paper, tables
from reports.charts.quantization import gap as quantization_gap
from reports.charts.vocabulary import CAPACITIES, DEPTHS, dataset_name, percent
from reports.cli import main
from reports.figures import FIGURES, View
from reports.findings import Findings, load
from reports.page import render
from reports.provenance import duration
from store.designs import DesignSpec, ladder
from store.errors import MinarchError
from store.families import family_facts
from store.records import Records
from store.results import Store
from tests.reports.conftest import invoke
from tests.reports.planted import plant

# What an analysis may not find.
MAY_BE_EMPTY = ("onsets", "crossings", "boundaries")


def failure(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str) -> tuple[int, str]:
    """Return exit code and standard error of the command as a user calls it."""
    monkeypatch.setattr("sys.argv", ["reports", *arguments])
    with pytest.raises(SystemExit) as stop:
        main()
    assert isinstance(stop.value.code, int)
    return stop.value.code, capsys.readouterr().err


def test_one_file_without_addresses_to_fetch(report: Path) -> None:
    page = report.read_text(encoding="utf-8")
    assert len(page.encode()) < 5_000_000
    assert [path.name for path in report.parent.iterdir()] == [report.name]
    markup = re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)
    assert not re.findall(r"<(?:script|img|iframe|link)[^>]+(?:src|href)=[\"'](?!data:,|#)", markup)
    assert not re.findall(r"@import|url\(", markup)


def test_tables_hold_what_the_analysis_found(store: Store, report: Path) -> None:
    from analyze import regimes

    page = report.read_text(encoding="utf-8")
    for row in regimes(store.path):
        panel = page[page.index(f'id="panel-{row.dataset}-{row.family}"') :]
        table = panel[panel.index("<h5>Regimes</h5>") :].split("</table>")[0]
        lines = [re.sub(r"<[^>]+>", " ", line).split() for line in table.split("</tr>")]
        mine = [words for words in lines if words[:2] == [row.boundary.capitalize(), str(row.depth)]]
        assert len(mine) == 1
        if row.capacity is not None:
            assert str(row.capacity) in mine[0]
            assert f"{row.parameters:,}" in mine[0]
    assert any(row.status == "detected" for row in regimes(store.path))


def test_the_answer_is_the_recommendation(store: Store, findings: Findings, report: Path) -> None:
    from analyze import recommend

    found = recommend(store.path)
    rows = {(row["dataset"], row["family"]): row for row in answer.answers(findings)}
    assert len(rows) == len(found)
    assert {row.scope for row in found} == {"all", "dnn", "cnn"}
    for row in found:
        said = rows[dataset_name(row.dataset), answer.scope_name(row.scope)]
        assert said["explanation"] == row.explanation.split("\n")
        assert (said["network"] is None) == (row.capacity is None)
        if row.parameters is not None:
            assert said["parameters"] == f"{row.parameters:,}"
            assert said["accuracy"] == percent(row.accuracy)
            assert said["reach"] == reach_in_words(
                row.reach or 0.0, row.reached or 0, row.replicates or 0, row.reach_share or 0.0
            )
            assert said["interval"] == f"{percent(row.ci_low)} to {percent(row.ci_high)}"
            assert said["pruning"] == ("not known" if row.safe_sparsity is None else percent(row.safe_sparsity, 0))
            assert (said["bytes"], said["safe_bytes"]) == (f"{row.bytes_fp32:,}", f"{row.safe_bytes:,}")
    assert any(row.capacity for row in found)
    page = report.read_text(encoding="utf-8")
    assert page.index('id="answer-heading"') < page.index('id="results-heading"')


def test_the_figure_beside_the_answer_has_the_shares_of_the_analysis(
    store: Store, findings: Findings, report: Path
) -> None:
    from analyze import reach, recommend

    subject = findings.subject("digits", "dnn")
    assert subject is not None
    found = list(reach(store.path, "digits", "dnn"))
    (chosen,) = [row for row in recommend(store.path, "digits", "dnn") if row.scope == "dnn"]
    drawn = FIGURES["reach"].views[0].chart(subject).to_dict()["datasets"]["cells"]
    assert [(row["depth"], row["capacity"], row["reached"]) for row in drawn] == [
        (row.depth, row.capacity, row.reached) for row in found
    ]
    assert [row["low"] for row in drawn] == pytest.approx([row.low for row in found], abs=1e-5)
    marked = [(row["depth"], row["capacity"]) for row in drawn if row["recommended"]]
    assert marked == ([] if chosen.capacity is None else [(chosen.depth, chosen.capacity)])
    page = report.read_text(encoding="utf-8")
    answered = page[page.index('id="answer-heading"') :].split("</section>")[0]
    assert answered.count('data-figure="') == len(findings.subjects)
    assert 'data-figure="digits/dnn/reach"' in answered


def test_where_nothing_qualifies_the_answer_says_what_would_decide_it(tmp_path: Path) -> None:
    plant(tmp_path / "few.duckdb", replicates=2)
    (row,) = answer.answers(load(tmp_path / "few.duckdb"))
    assert row["network"] is None
    assert "too little data" in str(row["reason"]).lower()
    assert str(row["command"]).startswith("generate convergence --dataset digits --family dnn")


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Data of one's own, with replicates too few to prove much."""
    path = tmp_path_factory.mktemp("few") / "own.duckdb"
    return plant(path, datasets=("flowers",), families=("dnn", "cnn"), replicates=5)


def test_the_answer_tells_what_is_proven_from_what_is_guessed(few: Store) -> None:
    from analyze import recommend

    findings = load(few.path)
    found = {answer.scope_name(row.scope): row for row in recommend(few.path)}
    rows = answer.answers(findings)
    assert any(row["guess"] for row in rows)
    page = render(findings)
    for said in rows:
        row = found[str(said["family"])]
        guess = said["guess"]
        assert (guess is None) == (row.guess_capacity is None)
        if isinstance(guess, dict):
            assert guess["parameters"] == f"{row.guess_parameters:,}"
            assert guess["accuracy"] == percent(row.guess_accuracy)
            assert guess["command"] == row.guess_command
            assert f"{row.guess_replicates} replicates of all that it is compared with" in guess["proof"]
            assert f"{row.guess_trainings:,} trainings, about " in guess["proof"]
        if row.capacity is not None:
            assert f"none of 5 trainings failed: up to {percent(row.failure_bound, 0)} may" in page
    section = page[page.index('id="answer-heading"') :].split("</section>")[0]
    assert section.count('<tr role="row" class="guessed">') == sum(row["guess"] is not None for row in rows)
    assert "what is proven within a family need not be there" in section


def test_the_report_of_other_data_opens_with_answer_and_curves(few: Store, report: Path, tmp_path: Path) -> None:
    """Claims of the paper come last there, folded; where the paper's data are reported on, they stay in front."""
    out = tmp_path / "own.html"
    assert invoke("render", "--store", str(few.path), "--out", str(out)).exit_code == 0
    own, of_paper = out.read_text(encoding="utf-8"), report.read_text(encoding="utf-8")
    headings = [re.findall(r'<h2 id="([a-z-]+)-heading">', page) for page in (own, of_paper)]
    assert headings[0] == ["answer", "results", "claims", "method", "provenance"]
    assert headings[1] == ["answer", "table-one", "claims", "results", "method", "provenance"]
    folded = own[own.index('id="claims-heading"') :].split("</section>")[0]
    assert '<details class="folded"><summary>' in folded
    assert folded.index("<details") < folded.index('class="counts"')
    assert 'class="folded"' not in of_paper


@pytest.mark.parametrize(
    ("least", "reached"),
    [(None, "best stable network minus 3 points."), (0.6, "an accuracy of 60%.")],
)
def test_the_answer_is_that_of_the_search(least: float | None, reached: str, tmp_path: Path) -> None:
    store = plant(tmp_path / "s.duckdb", datasets=("digits",), replicates=10)
    found = store.query("SELECT DISTINCT dataset_fingerprint, protocol_id FROM runs").row(0, named=True)
    sweeps = store.query("SELECT depth, list(DISTINCT capacity) FROM runs GROUP BY ALL ORDER BY ALL").rows()
    before = render(load(store.path))
    spec = DesignSpec(
        fingerprint=found["dataset_fingerprint"],
        protocols={"dnn": found["protocol_id"]},
        ladders=tuple(ladder("dnn", depth, sizes) for depth, sizes in sweeps),
        looks=(5, 10),
        max_drop=0.03,
        min_accuracy=least,
    )
    store.append(Records(designs=(spec.record(datetime(2026, 1, 1)),)), name="design")
    findings = load(store.path)
    assert set(findings.recommendations["max_drop"]) == {0.03}
    assert set(findings.recommendations["design"]) == {spec.design_id}
    page = render(findings)
    assert "within a point of accuracy" in before
    assert "within 3 points of accuracy" in page
    assert reached not in before
    assert reached in page


def test_one_of_a_thing_is_said_in_the_singular(tmp_path: Path) -> None:
    single = plant(tmp_path / "one.duckdb", families=("cnn",), replicates=1)
    with duckdb.connect(single.path) as connection:
        for table in ("labels", "runs"):
            connection.execute(f"DELETE FROM {table} WHERE run_id <> 'digits-cnn-1x8-fp32-0'")
    out = tmp_path / "one.html"
    done = invoke("render", "--no-claims", "--store", str(single.path), "--out", str(out))
    assert done.stdout.startswith(f"{out}: 1 model, ")
    text = re.sub(r"<[^>]+>", " ", re.sub(r"<(script|style)>.*?</\1>", "", out.read_text(), flags=re.DOTALL))
    assert "1 trained model," in text
    many = "models|trainings|replicates|hours|minutes|seconds|cores"
    assert not re.findall(rf"(?<![\d.,])1 (?:trained )?(?:{many})\b", text)


def test_pruning_and_gaps_are_those_of_the_analysis(store: Store, findings: Findings) -> None:
    from analyze import pruning, quantization

    subject = findings.subject("digits", "dnn")
    assert subject is not None
    safe = {(r.depth, r.capacity): r for r in pruning(store.path, "digits", "dnn") if r.stable}
    table = tables.safe_pruning(subject)[0]["rows"]
    assert isinstance(table, list)
    assert {(row[0], int(row[1])) for row in table} == set(safe)
    assert all(row[3] == percent(safe[row[0], int(row[1])].safe_sparsity, 0) for row in table)
    lost = {(r.depth, r.capacity): r.gap for r in quantization(store.path, "digits", "dnn") if r.gap is not None}
    drawn = quantization_gap(subject.gaps, dataset="digits", family="dnn").to_dict()["datasets"]["cells"]
    assert {(row["depth"], row["capacity"]): row["gap"] for row in drawn} == pytest.approx(lost, abs=1e-5)


def test_table_one_stands_beside_the_papers(store: Store, findings: Findings, report: Path) -> None:
    from analyze import table_one

    shown = paper.table_one(findings)
    assert shown is not None
    rows = shown["rows"]
    assert isinstance(rows, list)
    assert [(row["dataset"], row["family"]) for row in rows] == [("MNIST", "DNN"), ("MNIST", "CNN")]
    found = {(row.family, row.quantity): row for row in table_one(store.path, "mnist")}
    for row, family in zip(rows, ("dnn", "cnn"), strict=True):
        cells = dict(zip(paper.QUANTITIES, row["cells"], strict=True))
        least = found[family, "parameters"]
        assert cells["parameters"]["here"] == f"{least.estimate:,.0f}"
        assert cells["parameters"]["inside"]["text"] == ("inside" if least.paper_inside else "outside")
        assert "generate quantization" in cells["8-bit gap"]["reason"]
    assert [cell["paper"] for cell in rows[0]["cells"]] == ["20,000", "60%", "+0.15"]
    page = report.read_text(encoding="utf-8")
    assert "No ViT runs on MNIST here: <code>generate all --dataset mnist --family vit --" in page
    assert f"No DNN, CNN, ViT runs on CIFAR-10 here: <code>generate all --dataset cifar10 --store {store.path}<" in page


def test_a_store_without_the_papers_datasets_has_no_table_one(tmp_path: Path) -> None:
    plant(tmp_path / "own.duckdb", families=("cnn",))
    assert paper.table_one(load(tmp_path / "own.duckdb")) is None


def test_topologies_are_those_of_the_analysis(store: Store, findings: Findings, report: Path) -> None:
    from analyze import shape_components, shape_thresholds

    subject = findings.subject("digits", "dnn")
    assert subject is not None
    thresholds, spread = (table["rows"] for table in tables.shapes(subject))
    assert isinstance(thresholds, list)
    assert isinstance(spread, list)
    for line, row in zip(thresholds, shape_thresholds(store.path, "digits"), strict=True):
        capacity = "–" if row.capacity is None else f"{row.capacity:,}"
        assert (line[0], line[1]["key"], line[2]) == (row.depth, row.status, capacity)
    found = [row for row in shape_components(store.path, "digits") if not row.adjusted and row.topology_sd is not None]
    assert [line[0] for line in spread] == [row.depth for row in found] != []
    assert all(
        line[3].startswith(f"{100 * (row.topology_sd or 0):.2f}") for line, row in zip(spread, found, strict=True)
    )
    panel = report.read_text(encoding="utf-8").split('id="panel-digits-dnn"')[1].split('id="panel-')[0]
    assert "Topologies of equal width" in panel
    without = findings.subject("mnist", "dnn")
    assert without is not None
    assert tables.shapes(without) == []


def test_missing_family_is_said_in_place(report: Path) -> None:
    page = report.read_text(encoding="utf-8")
    for text, command in [
        ("No ViT runs on MNIST yet", "generate convergence --dataset mnist --family vit"),
        ("No CNN runs in 8 bits on MNIST yet", "generate quantization --dataset mnist --family cnn"),
        ("No DNN runs with pruning on MNIST yet", "generate convergence --dataset mnist --family dnn"),
        ("No topologies on MNIST yet", "generate shapes --dataset mnist"),
        ("No CNN learning curves on MNIST yet", "generate convergence --dataset mnist --family cnn"),
    ]:
        assert f"{text}: <code>{command} --" in page


def test_only_what_was_asked_for(store: Store, tmp_path: Path) -> None:
    out = tmp_path / "one.html"
    result = invoke(
        "render", "--no-claims", "--store", str(store.path), "--out", str(out), "--dataset", "digits", "--family", "cnn"
    )
    assert result.exit_code == 0
    page = out.read_text(encoding="utf-8")
    assert 'id="panel-digits-cnn"' in page
    assert "panel-mnist" not in page
    assert "panel-digits-dnn" not in page


def test_text_of_the_store_cannot_become_markup(tmp_path: Path) -> None:
    store = plant(tmp_path / "odd.duckdb", datasets=("<b>mine</b>",), families=("vit",))
    result = invoke("render", "--no-claims", "--store", str(store.path), "--out", str(tmp_path / "odd.html"))
    assert result.exit_code == 0, result.output
    page = (tmp_path / "odd.html").read_text(encoding="utf-8")
    assert "<b>mine" not in page
    assert "&lt;b&gt;mine&lt;/b&gt;" in page


def test_wrong_inputs_are_one_line(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = Store(tmp_path / "empty.duckdb")
    empty.prepare()
    out = str(tmp_path / "r.html")
    cases = [
        (1, "there is digits, mnist", ["--store", str(store.path), "--dataset", "imagenet"]),
        (1, "there is cnn, dnn", ["--store", str(store.path), "--family", "vit"]),
        (1, "no runs yet", ["--store", str(empty.path)]),
        (1, "no store at", ["--store", str(tmp_path / "none.duckdb")]),
        (1, "no folder", ["--store", str(store.path), "--out", str(tmp_path / "no" / "r.html")]),
        (
            1,
            "fp32 runs of equal widths of protocol 'p0', only of protocol-",
            ["--store", str(store.path), "--protocol", "p0"],
        ),
        (2, "'rnn' is not one of 'dnn', 'cnn', 'vit'", ["--store", str(store.path), "--family", "rnn"]),
        (2, "is a directory", ["--store", str(store.path), "--out", str(tmp_path)]),
        (2, "--colour", ["--store", str(store.path), "--colour"]),
    ]
    for code, message, arguments in cases:
        given = arguments if "--out" in arguments else [*arguments, "--out", out]
        got, text = failure(capsys, monkeypatch, "render", *given)
        assert (got, text.count("\n")) == (code, 1), text
        assert message in text
        assert "Traceback" not in text
    assert not Path(out).exists()


def _figure(store: Store, out: Path, name: str, *options: str) -> Result:
    kind = out.suffix[1:]
    where = ("--store", str(store.path), "--dataset", "digits", "--family", "dnn")
    return invoke("figure", name, "--format", kind, "--out", str(out), *where, *options)


@pytest.mark.parametrize("kind", ["svg", "png", pytest.param("pdf", marks=pytest.mark.slow), "html"])
def test_figure_formats(store: Store, tmp_path: Path, kind: str) -> None:
    out = tmp_path / f"figure.{kind}"
    result = _figure(store, out, "convergence", "--replicates")
    assert result.exit_code == 0, result.output
    start = {"svg": b"<svg", "png": b"\x89PNG", "pdf": b"%PDF", "html": b"<!DOCTYPE html>"}[kind]
    assert out.read_bytes().lstrip().startswith(start)


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_can_be_drawn(store: Store, tmp_path: Path, name: str) -> None:
    """By the converter, which takes less than Vega-Lite's schema does."""
    result = _figure(store, tmp_path / "figure.svg", name)
    assert result.exit_code == 0, result.output
    assert (tmp_path / "figure.svg").read_text().startswith("<svg")


@pytest.mark.parametrize(("name", "view"), [(f.name, v) for f in FIGURES.values() for v in f.views])
def test_every_view_of_every_figure(findings: Findings, name: str, view: View) -> None:
    subject = findings.subject("digits", "dnn")
    assert subject is not None
    # Altair holds the chart to Vega-Lite's schema here.
    chart = view.chart(subject).to_dict()
    assert chart["title"]["text"].startswith("Digits, DNN: ")
    assert "Digits" in chart["description"]
    assert all(rows for name, rows in chart["datasets"].items() if name not in MAY_BE_EMPTY)
    # Aggregated first: no chart has more rows than Altair's own limit.
    assert sum(len(rows) for rows in chart["datasets"].values()) <= 5000


SAID_ALIKE = {
    "depth",
    "capacity",
    "parameters",
    "mean",
    "test_accuracy",
    "sparsity",
    "gap",
    "epoch",
    "loss",
    "accuracy",
}
"""Fields whose axis and tooltip are of the same thing; others lie on an axis as marks of their own."""


def encodings(chart: object) -> Iterator[dict[str, Any]]:
    """Yield the encodings of all layers of a chart."""
    if isinstance(chart, list):
        for entry in chart:
            yield from encodings(entry)
    elif isinstance(chart, dict):
        if "encoding" in chart:
            yield chart["encoding"]
        yield from encodings(chart.get("layer", []))


@pytest.mark.parametrize("family", ["dnn", "cnn"])
@pytest.mark.parametrize(("name", "view"), [(f.name, v) for f in FIGURES.values() for v in f.views])
def test_tooltips_say_what_axes_and_legend_say(findings: Findings, name: str, view: View, family: str) -> None:
    if FIGURES[name].layered and not family_facts(family).layered:
        return
    subject = findings.subject("digits", family)
    assert subject is not None
    layers = list(encodings(view.chart(subject).to_dict()))
    titles: dict[str, str] = {}
    for encoding in layers:
        for channel in ("x", "y"):
            axis = encoding.get(channel, {})
            if "field" in axis and axis.get("axis", {}).get("title"):
                titles.setdefault(axis["field"], axis["axis"]["title"])
    titles["depth"] = DEPTHS[family][1].capitalize()
    titles.setdefault("capacity", CAPACITIES[family])
    titles.setdefault("parameters", "Trainable parameters")
    shown = [entry for encoding in layers for entry in encoding.get("tooltip", [])]
    assert {"depth", "capacity"} <= {entry["field"] for entry in shown}
    for entry in shown:
        said = entry.get("title", entry["field"])
        if entry["field"] in titles and entry["field"] in SAID_ALIKE:
            assert said.startswith(titles[entry["field"]]), entry


def test_a_figure_is_a_chart_with_its_data(store: Store) -> None:
    chart = reports.figure("convergence", store.path, "digits", "dnn", replicates=True)
    assert isinstance(chart, altair.TopLevelMixin)
    found = chart.to_dict()
    assert sum(map(len, found["datasets"].values())) > 10
    assert {"name": "replicates", "value": True}.items() <= next(
        p for p in found["params"] if p["name"] == "replicates"
    ).items()
    with pytest.raises(MinarchError, match="no figure 'nothing'; the figures are"):
        reports.figure("nothing", store.path)


def test_a_capacity_is_chosen_for_a_figure(store: Store, tmp_path: Path) -> None:
    out = tmp_path / "figure.json"
    assert _figure(store, out, "pruning", "--capacity", "20").exit_code == 0
    values = {p["name"]: p["value"] for p in json.loads(out.read_text())["params"]}
    assert values["chosen"] == 20


def test_figure_refuses_what_it_cannot_draw(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    here = ["--store", str(store.path), "--out", str(tmp_path / "f.svg")]
    for message, arguments in [
        ("the figures are convergence", ["figure", "pie", *here]),
        ("generate quantization", ["figure", "quantization", *here, "--dataset", "mnist", "--family", "cnn"]),
        ("there is 1, 2", ["figure", "pruning", *here, "--dataset", "digits", "--family", "cnn", "--capacity", "7"]),
        ("--replicates", ["figure", "pruning", *here, "--dataset", "digits", "--family", "cnn", "--replicates"]),
        ("--dataset digits --family cnn", ["figure", "convergence", *here]),
        (
            "there is capacity, parameters",
            ["figure", "convergence", *here, "--dataset", "digits", "--family", "cnn", "--view", "time"],
        ),
    ]:
        code, text = failure(capsys, monkeypatch, *arguments)
        assert (code, text.count("\n")) == (1, 1)
        assert message in text


def test_without_a_stable_network_no_share_is_drawn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = plant(tmp_path / "two.duckdb", replicates=2).path
    out = tmp_path / "reach.svg"
    code, text = failure(capsys, monkeypatch, "figure", "reach", "--store", str(path), "--out", str(out))
    assert (code, text.count("\n"), out.exists()) == (1, 1, False)
    assert f"analyze recommend --dataset digits --family dnn --store {path}`" in text
    assert "How many trainings get there" not in render(load(path))


def test_a_single_replicate_is_drawn_without_spread(tmp_path: Path) -> None:
    store = plant(tmp_path / "one.duckdb", replicates=1)
    result = invoke("render", "--no-claims", "--store", str(store.path), "--out", str(tmp_path / "one.html"))
    assert result.exit_code == 0, result.output
    regimes = (tmp_path / "one.html").read_text(encoding="utf-8").split("<h5>Regimes</h5>")[1].split("</table>")[0]
    assert regimes.count('<span class="badge insufficient">too little data</span>') == 2 * 4, "two boundaries, 4 depths"


def test_int8_runs_alone_are_not_an_empty_chart(tmp_path: Path, store: Store) -> None:
    runs = plant(tmp_path / "source.duckdb", quantization=True)
    folder = tmp_path / "only"
    runs.export(folder)
    target = Store(tmp_path / "int8.duckdb")
    target.append(Records(), name="nothing")
    import polars as pl

    for name in ("runs", "labels"):
        frame = pl.read_parquet(folder / f"{name}.parquet")
        frame.filter(pl.col("run_id").str.contains("int8")).write_parquet(folder / f"{name}.parquet")
    target.import_(folder)
    out = tmp_path / "int8.html"
    result = invoke("render", "--no-claims", "--store", str(target.path), "--out", str(out))
    assert result.exit_code == 0, result.output
    page = out.read_text(encoding="utf-8")
    assert "No DNN runs on Digits yet: <code>generate convergence --dataset digits --family dnn --" in page
    assert "No DNN runs in 8 bits" not in page


def test_further_figures_are_drawn_from_the_analyses_or_left_out(findings: Findings, report: Path) -> None:
    from analyze import bit_steps, finetuned_networks, frontier

    subject, other = findings.subject("digits", "cnn"), findings.subject("mnist", "cnn")
    assert subject is not None
    assert other is not None
    further = [figure for figure in FIGURES.values() if figure.further]
    assert [figure.name for figure in further] == ["bits", "finetuning", "frontier"]
    path = findings.advice.store
    steps = [row for row in bit_steps(path, "digits", "cnn") if row.quantization == "post-training"]
    drawn = FIGURES["bits"].views[1].chart(subject).to_dict()["datasets"]["steps"]
    assert [(row["bits"], row["loss"]) for row in drawn] == [
        (row.bits, pytest.approx(row.loss, abs=1e-5)) for row in steps
    ]
    won = {(row.capacity, row.sparsity): row.difference for row in finetuned_networks(path, "digits", "cnn")}
    treated = FIGURES["finetuning"].views[0].chart(subject).to_dict()["datasets"]["treated"]
    assert {(row["capacity"], row["sparsity"]): row["difference"] for row in treated} == pytest.approx(won, abs=1e-5)
    best = [(row.bytes, row.form) for row in frontier(path, "digits", "cnn") if row.best]
    forms = FIGURES["frontier"].views[0].chart(subject).to_dict()["datasets"]["forms"]
    assert [(row["bytes"], row["form"]) for row in forms if row["best"]] == best
    page = report.read_text(encoding="utf-8")
    for figure in further:
        assert f'data-figure="digits/cnn/{figure.name}' in page
        assert f"mnist/cnn/{figure.name}" not in page
        assert figure.missing(other, findings.advice) is not None
    assert "fewer than 8 bits" not in page


def test_too_few_pairs_give_no_empty_gap_figure(tmp_path: Path) -> None:
    plant(tmp_path / "few.duckdb", families=("cnn",), replicates=2, quantization=True, pruning=True)
    subject = load(tmp_path / "few.duckdb").subject("digits", "cnn")
    assert subject is not None
    views = {view.key: view.possible(subject) for view in FIGURES["quantization"].views}
    assert views == {"accuracy": True, "gap": False}
    result = invoke(
        "render", "--no-claims", "--store", str(tmp_path / "few.duckdb"), "--out", str(tmp_path / "few.html")
    )
    assert result.exit_code == 0, result.output


@pytest.mark.slow
def test_fifty_thousand_runs_render_in_fifteen_seconds(tmp_path: Path) -> None:
    store = plant(
        tmp_path / "large.duckdb",
        datasets=("mnist", "fashion_mnist", "cifar10"),
        families=("dnn", "cnn", "vit"),
        replicates=38,
        every_topology=True,
        pruning=True,
        quantization=True,
    )
    assert int(store.query("SELECT count(*) AS n FROM runs")["n"][0]) >= 50_000
    out = tmp_path / "large.html"
    start = time.process_time()
    result = invoke("render", "--no-claims", "--store", str(store.path), "--out", str(out))
    assert result.exit_code == 0, result.output
    assert time.process_time() - start < 15
    assert out.stat().st_size < 5_000_000


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "0 seconds"),
        (1, "1 second"),
        (61, "1 minute"),
        (120, "2 minutes"),
        (3600, "1.0 hours"),
        (9000, "2.5 hours"),
    ],
)
def test_a_length_of_time_is_in_words(seconds: float, text: str) -> None:
    assert duration(seconds) == text
