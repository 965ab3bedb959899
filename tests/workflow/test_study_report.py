"""The report of a study that really ran, read by a real browser."""

import base64
import html
import json
import re
import shutil
import subprocess

import pandas as pd
import pytest

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

PROBE = """<script>addEventListener("load", () => setTimeout(() => {
  const renderers = () => Bokeh.documents.flatMap(one => one.roots()).flatMap(chart => chart.renderers);
  const curves = () => renderers().filter(one => one.visible && !one.name.endsWith("-points")).length;
  const click = what => {
    document.querySelector(`.chart [data-what=${what}]:checked`).click();
    return curves();
  };
  const charts = {
    drawn: [...document.querySelectorAll(".drawing")].map(one => Boolean(one.firstElementChild?.shadowRoot)),
    all: renderers().length, curves: [curves(), click("layer"), click("probe"), click("probe")],
  };
  for (const details of document.querySelectorAll("details")) details.open = true;
  const table = document.querySelector("#tables ~ details table");
  const last = table.querySelector("tr").cells.length - 1;
  const column = () => [...table.tBodies[0].rows].map(row => row.cells[last].textContent);
  const head = table.querySelectorAll("th button")[last];
  const before = column(); head.click(); const up = column(); head.click(); const down = column();
  const found = {
    widths: [...document.images].map(image => image.naturalWidth),
    shown: [...document.images].map(image => image.getBoundingClientRect().width),
    before, up, down, charts,
    wide: document.documentElement.scrollWidth - innerWidth,
    requests: performance.getEntriesByType("resource").map(entry => entry.name.slice(0, 40)),
  };
  document.body.innerHTML = "<pre id=found></pre>";
  document.getElementById("found").textContent = JSON.stringify(found);
}, 3000));</script>"""


def browse(page, folder):
    """Open a page in headless Chromium; return what the script above found, and what the console logged."""
    folder.mkdir()
    probed = folder / "page.html"
    probed.write_text(page.replace("</body>", PROBE + "</body>"))
    done = subprocess.run(
        [
            BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            f"--user-data-dir={folder / 'profile'}", "--window-size=1200,900", "--enable-logging=stderr",
            "--virtual-time-budget=10000", "--dump-dom", probed.as_uri(),
        ],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    found = re.search(r'<pre id="found">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found, done.stdout[-2000:] + done.stderr[-2000:]
    return json.loads(html.unescape(found[1])), [
        line for line in done.stderr.splitlines() if "CONSOLE" in line and "[bokeh 3" not in line
    ]


@pytest.fixture(scope="module")
def page(tiny):
    done = tiny.make("report", "STUDY=study.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    return (tiny.folder / "results/tiny/report.html").read_text(encoding="utf-8")


@pytest.mark.skipif(not BROWSER, reason="no Chromium here (Debian: apt-get install chromium)")
def test_a_browser_shows_every_figure_and_has_nothing_to_complain_of(tiny, page, tmp_path):
    figures = list((tiny.folder / "results/tiny/figures").glob("*.png"))
    found, console = browse(page, tmp_path / "browser")
    assert len(found["widths"]) == len(figures) > 0
    assert min(found["widths"]) > 1000
    assert min(found["shown"]) > 600
    assert found["wide"] <= 0, "nothing sticks out of the window"
    assert found["requests"] == []
    assert console == []
    numbers = [float(cell.replace("−", "-")) for cell in found["up"]]
    assert numbers == sorted(numbers)
    assert found["down"] == found["up"][::-1] or sorted(found["down"]) == sorted(found["before"])


@pytest.mark.skipif(not BROWSER, reason="no Chromium here (Debian: apt-get install chromium)")
def test_curves_are_switched_off_by_layer_and_by_probe(page, tmp_path):
    charts = browse(page, tmp_path / "browser")[0]["charts"]
    assert charts["drawn"]
    assert all(charts["drawn"])
    assert charts["all"] > 2 * charts["curves"][0], "of several p, one is shown"
    assert charts["curves"][0] > charts["curves"][1] > charts["curves"][2] > charts["curves"][3] > 0


@pytest.mark.skipif(not BROWSER, reason="no Chromium here (Debian: apt-get install chromium)")
def test_the_browser_would_tell_of_a_broken_figure_and_of_a_request(page, tmp_path):
    broken = re.sub(r'src="data:image/png;base64,[^"]{100}', 'src="data:image/png;base64,', page, count=1)
    broken = broken.replace("</main>", '<img src="https://example.org/x.png"></main>')
    found, console = browse(broken, tmp_path / "browser")
    assert 0 in found["widths"]
    assert any("Content Security Policy" in line for line in console)


def test_the_page_holds_the_figures_as_drawn_and_names_no_other_host(tiny, page):
    figures = sorted((tiny.folder / "results/tiny/figures").glob("*.png"))
    page = re.sub(r'<script id="library">.*?</script>', "", page, flags=re.DOTALL)
    embedded = re.findall(r'src="data:image/png;base64,([^"]+)"', page)
    assert sorted(map(base64.b64decode, embedded)) == sorted(figure.read_bytes() for figure in figures)
    assert re.findall(r'(?:src|href)="(?!data:|#)[^"]*"', page) == []
    assert "http://" not in page
    assert "https://" not in page


def test_snakemakes_own_report_has_every_figure_and_the_summary(tiny, tmp_path):
    tiny.run("--report", str(tmp_path / "report.html"))
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    figures = [path.name for path in (tiny.folder / "results/tiny/figures").glob("*.png")]
    assert figures
    assert all(name in page for name in [*figures, "summary.csv"])
    assert "A study of latentgen" in page
    assert re.findall(r'<(?:script|link|img)[^>]*(?:src|href)="https?:[^"]*', page) == []


def test_numbers_on_the_page_are_those_of_the_tables(tiny, page):
    comparisons = pd.read_csv(tiny.folder / "results/tiny/tables/comparisons.csv")
    rows = comparisons[
        (comparisons["reference"] == "model") & (comparisons["what"] == "VeLPIC") & comparisons["best"]
    ]
    rows = rows[rows["model"] == "mlp"]
    best = rows.loc[rows["difference"].idxmax()]
    numbers = [100 * best[name] for name in ("difference", "low", "high")]
    cells = [f"<td>{best['layer']}</td>", "<td>model</td>"]
    cells += [f'<td class="number">{number:.1f}</td>'.replace("-", "−") for number in numbers]
    rows_of_page = re.findall(r"<tr>(.*?)</tr>", page)
    assert any(all(cell in row for cell in cells) and "<td>VeLPIC</td>" in row for row in rows_of_page)


def test_what_a_reader_should_know_first_comes_first(tiny, page):
    start = page[: page.index("Settings</h2>")]
    assert "There is only one seed" in start
    assert "not in a git repository" in start, "the tests run in a copy that is none"
    history = pd.read_parquet(tiny.folder / "results/tiny/tables/history.parquet")
    ends = history.sort_values("epoch").groupby("run").tail(1)
    mlp = ends[ends["model"] == "mlp"]
    unmet = mlp[(mlp["epoch"] == 12) & (mlp["train_corrupted_correct"] < 0.6 * mlp["train_total"])]
    for run in ends["run"]:
        assert (run in start) == (run in set(unmet["run"])), "the CNN has no stop rule to meet"


def test_the_page_says_what_it_was_made_with(tiny, page):
    said = json.loads((tiny.folder / "results/tiny/tables/provenance.json").read_text())
    for text in (said["packages"]["torch"], said["machine"]["processor"], "fa70cba135d4cdd4cde65da70dbffde2"):
        assert text in page
    assert '"max_epochs": 12' in html.unescape(page)
