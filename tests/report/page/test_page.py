"""report.html: one page that is whole, needs nothing else and says what it cannot say."""

from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from al_lightning.report.analysis import Analysis, analyse
from al_lightning.report.claims.judge import Claim
from al_lightning.report.page.figures.draw import draw
from al_lightning.report.page.figures.parts import NARROW
from al_lightning.report.page.gallery import gallery
from al_lightning.report.page.page import _short_title, interval, number, p_value, render, signed
from al_lightning.report.page.style import to_svg
from al_lightning.report.study import read_study
from tests.report.made_up_runs import settings, write_run
from tests.report.people_runs import write_people_run
from tests.report.reports import analysis, study

VOID = {"meta", "wbr"}


class Page(HTMLParser):
    """Checks that tags nest, and collects what the tests ask for."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, (tag, self.getpos())

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]


def page(tables: Analysis, figures: bool = True, **kwargs: object) -> str:
    drawings = draw(tables) if figures else []
    svgs = {drawing.name: to_svg(drawing.figure) for drawing in drawings}
    narrow = {drawing.name: to_svg(drawing.figure) for drawing in (draw(tables, NARROW) if figures else [])}
    return render(tables, drawings, svgs, narrow, gallery(tables.study), **kwargs)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def html() -> str:
    claim = Claim("C1", "A <i>claim</i>", "+0.0150", "[+0.0100, +0.0200]", "replicated", "")
    return page(analysis(), claims=[claim], command="al-lightning report 'runs/<x>' --out r")


def test_it_is_well_formed_and_loads_nothing(html: str) -> None:
    parsed = Page(html)
    assert "http:" not in html
    assert "https:" not in html
    targets = {attrs[name] for _, attrs in parsed.tags for name in ("src", "href", "xlink:href") if name in attrs}
    assert all(target and target.startswith("#") for target in targets)
    ids = [attrs["id"] for _, attrs in parsed.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert {target for target in targets if target} <= {f"#{name}" for name in ids}
    assert not parsed.all("script")
    assert "url(data:image/png;base64," in html
    assert all(part.startswith(("data:", "#")) for part in (rest.split(")")[0] for rest in html.split("url(")[1:]))


def test_every_figure_has_alternative_text_and_a_caption(html: str) -> None:
    parsed = Page(html)
    assert len(parsed.all("figure")) == len(parsed.all("figcaption")) == 11
    labelled = [attrs for attrs in parsed.all("div") if attrs.get("role") == "img"]
    assert len(labelled) == 11
    assert all(attrs["aria-label"] for attrs in labelled)
    assert all(attrs["aria-hidden"] == "true" for attrs in parsed.all("svg"))
    tiles = [attrs for attrs in parsed.all("span") if "tile" in (attrs.get("class") or "")]
    assert len(tiles) == 3 * 3 * 12
    assert all(attrs["aria-label"] for attrs in tiles)


def test_names_are_escaped(html: str) -> None:
    parsed = Page(html)
    assert not parsed.all("b")
    assert not parsed.all("i")
    assert "<b>&" in parsed.text
    assert "A <i>claim</i>" in parsed.text
    assert "al-lightning report 'runs/<x>' --out r" in parsed.text


def test_it_has_the_numbers(html: str) -> None:
    text, tables = Page(html).text, analysis()
    for row in tables.endpoints.to_dict("records"):
        assert f"{row['mean']:.4f}" in text
    for words in ("[+0.0100, +0.0200]", "replicated", "dropout 0.1", "loop.query_size"):
        assert words in text


def test_what_has_to_be_known_beside_the_figures_is_there() -> None:
    assert "<li>Some fits &lt; all.</li>" in page(replace(analysis(), notes=("Some fits < all.",)), figures=False)


def test_labels_saved_are_those_that_the_ratio_is_of() -> None:
    tables = analysis()
    found = {"arm": "entropy", "target_accuracy": 0.8, "low": 1.0, "high": np.inf}
    found |= {"censored": False, "at_once": False, "bound": ""}
    rows = [
        found | {"target_labels": 10_000, "baseline_labels": 4_321, "labels": 2_000, "ratio": 2.16},
        found | {"target_labels": 5_000, "baseline_labels": 1_234, "labels": 617, "ratio": 2.0},
        found | {"target_labels": 2_500, "baseline_labels": 777, "labels": 1_554, "ratio": 0.5},
    ]
    rows[1] |= {"at_once": True, "bound": "at least"}
    rows[2] |= {"censored": True, "bound": "at most"}
    html = page(replace(tables, efficiency=pd.DataFrame(rows)), figures=False)
    assert '<td class="n">4,321</td><td class="n">2,000</td><td class="n">2.16</td>' in html
    assert '<td class="n">1,234</td><td class="n">at most 617</td><td class="n">≥ 2.00</td>' in html
    assert '<td class="n">777</td><td class="n">more than 1,554</td><td class="n">≤ 0.50</td>' in html


def test_one_seed_says_that_no_test_is_possible() -> None:
    text = Page(page(analysis(study(["random", "entropy"], num_seeds=1)))).text
    assert "There is one seed: no interval and no test is possible" in text
    assert "Holm" not in text
    assert "95 %" not in text
    assert "Claims" not in text


def test_one_arm_with_one_round() -> None:
    text = Page(page(analysis(study(["random"], max_rounds=1, num_seeds=1)))).text
    assert "1 arm, 1 seed, 1 round: 50 labels" in text
    assert "Labels saved" not in text
    assert "baseline" not in text
    assert "There are no pictures" in text


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (number(1234.5, 1), "1,234.5"),
        (number(np.nan), "–"),
        (number(None), "–"),
        (number(-np.inf), "−∞"),
        (signed(0.5, 1), "+0.5"),
        (signed(-0.5, 1), "−0.5"),
        (signed(0.0, 1), "0.0"),
        (signed(np.nan), "–"),
        (interval(np.nan, np.nan), ""),
        (interval(0.9, np.inf, 1), "[0.9, ∞]"),
        (interval(-0.1, 0.1, 1, sign=True), "[−0.1, +0.1]"),
        (p_value(0.00001), "< 0.001"),
        (p_value(0.04), "0.040"),
        (p_value(np.nan), "–"),
    ],
)
def test_numbers_are_written_as(written: str, expected: str) -> None:
    assert written == expected


def people(tmp_path: Path, **kwargs: object) -> Analysis:
    return analyse(read_study([write_people_run(tmp_path / "photos", **kwargs)]))  # type: ignore[arg-type]


def test_a_run_of_people_without_a_test_set_has_a_page(tmp_path: Path) -> None:
    html = page(people(tmp_path, num_open=2))
    parsed = Page(html)
    assert "There is no test set" in parsed.text
    assert "2 questions are open in round 3" in parsed.text
    for words in ("What people were asked", "hot dog", "67 %", "100 %", "51 % to 100 %"):
        assert words in parsed.text, words
    for words in ("baseline", "Labels saved", "Learning curves", "Calibration", "NaN", "nan"):
        assert words not in parsed.text, words
    ids = [attrs["id"] for _, attrs in parsed.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert {"agreement", "balance", "cost"} <= set(ids)


def test_a_run_of_people_with_a_test_set_has_its_curve(tmp_path: Path) -> None:
    parsed = Page(page(people(tmp_path, accuracy=[0.5, 0.6, 0.9])))
    assert "0.9000" in parsed.text
    assert "learning_curves" in [attrs.get("id") for _, attrs in parsed.tags]


def test_the_contents_lead_to_each_part_that_is_there(html: str) -> None:
    parsed = Page(html)
    links = [str(attrs["href"])[1:] for attrs in parsed.all("a")]
    sections = [attrs["id"] for attrs in parsed.all("section")]
    assert [link for link in links if link in sections] == sections
    assert {"learning_curves", "differences", "endpoint0", "overlap"} <= set(links)
    assert html.index('id="findings"') < html.index('id="contents"') < html.index('id="compared"')


def test_the_page_opens_with_what_came_out(html: str) -> None:
    for sentence in analysis().findings:
        assert sentence in Page(html).text


def test_p_values_of_two_seeds_are_marked_as_worth_nothing(html: str) -> None:
    text = Page(html).text
    assert "† Two seeds: these p-values, and the seeds that follow from them, are worth nothing." in text
    assert "Holm p†" in text
    assert "0.500†" in text  # the smallest exact p-value of two seeds
    three = replace(analysis(), study=replace(study(), seeds=(0, 1, 2)))
    assert "†" not in Page(page(three, figures=False)).text


def test_the_difference_stands_right_beside_the_mean(html: str) -> None:
    assert '<th scope="col" class="n">Mean</th><th scope="col" class="n">Difference</th>' in html


def test_the_machine_is_the_one_that_the_runs_record(tmp_path: Path) -> None:
    text = Page(page(people(tmp_path), figures=False)).text
    assert "9.9" in text
    assert "not recorded" not in text
    assert "not recorded" in Page(page(analysis(), figures=False)).text


def test_settings_that_were_varied_are_named_also_for_the_baseline(tmp_path: Path) -> None:
    for arm, size in (("small", 32), ("large", 256)):
        given = settings(num_rounds=1)
        given["data"]["init_args"]["batch_size"] = size
        write_run(tmp_path / arm / "seed0", given, [0.7, 0.8])
    found = analyse(read_study([tmp_path], vary=["data.batch_size"]), "small")
    text = Page(page(found, figures=False)).text
    assert "The arms were also allowed to differ in data.batch_size." in text
    assert "data.batch_size 32" in text
    assert "data.batch_size 256" in text


@pytest.mark.parametrize(
    ("endpoint", "title"),
    [
        ("accuracy, mean of 5 rounds, 9,600 to 10,000 labels", "accuracy, mean"),
        ("accuracy at 500 labels", "accuracy"),
        ("early AUBC 500-2,000", "early AUBC"),
        ("last round, 10,500", "last round"),
        ("test_macro_f1, mean of 5 rounds, 90 to 170 labels", "test macro f1, mean"),
    ],
)
def test_titles_of_the_contents_have_no_numbers(endpoint: str, title: str) -> None:
    assert _short_title(endpoint) == title


def test_many_classes_are_folded(tmp_path: Path) -> None:
    parsed = Page(page(people(tmp_path, identity={"classes": [f"class {i}" for i in range(31)]}), figures=False))
    assert "31 classes" in parsed.text
    assert len(parsed.all("details")) == 2  # with the settings
