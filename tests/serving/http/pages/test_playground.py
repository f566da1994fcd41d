"""The playground around its widgets in headless Chromium: both languages, a phone, a key, and no external resources."""

import re
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from playwright.sync_api import Browser, Route, expect

from serving.http.app import create_app
from serving.settings import Settings
from tests.support import bundles
from tests.support.visits import Visit, choose, headline, served

ROOT = Path(__file__).parents[4]
PHONE: Any = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}


def test_the_status_page_is_linked(visit: Visit) -> None:
    page = visit.open("titanic")
    page.get_by_role("link", name="Status").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Status")
    expect(page.locator("tbody tr")).to_have_count(len(bundles.ALL) + 1)
    expect(page.get_by_role("row", name="broken").locator(".bad")).to_have_text("refused")
    page.get_by_role("link", name="mnist").click()
    expect(page.locator("h2 code")).to_have_text("mnist")


@pytest.mark.parametrize("project", sorted(bundles.ALL))
@pytest.mark.parametrize("locale", ["en-US", "zh-CN"])
def test_every_project_fits_a_phone_in_both_languages(
    browser: Browser, address: str, project: str, locale: str
) -> None:
    visit = Visit(browser, address, locale=locale, color_scheme="dark", **PHONE)
    page = visit.open(project)
    if project in ("mnist", "mini_gpt"):
        page.locator(".examples button").first.click()
    expect(page.locator(".signature")).to_be_visible()
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= 360
    chinese = re.compile("[\u4e00-\u9fff]")
    output = (
        page.locator("h1").inner_text()
        + page.locator(".head").inner_text()
        + page.locator("summary").first.inner_text()
    )
    assert bool(chinese.search(output)) == (locale == "zh-CN")
    for button in page.locator("main button:visible, main input:visible, main textarea:visible").all():
        named = "e => e.labels?.length || e.ariaLabel || e.textContent.trim()"
        assert button.evaluate(named), button.evaluate("e => e.outerHTML")
    visit.close()


def test_switching_the_language_keeps_the_inputs(visit: Visit) -> None:
    page = visit.open("imdb")
    page.fill("#text", "bad")
    expect(headline(page)).to_have_text("Negative")
    page.get_by_role("button", name="中文").click()
    expect(headline(page)).to_have_text("负面")
    expect(page.locator("#text")).to_have_value("bad")
    assert page.locator("html").get_attribute("lang") == "zh-CN"
    page.reload()
    expect(page.locator("h1")).to_have_text("路线图模型")  # remembered


def test_both_languages_have_the_same_keys() -> None:
    en, zh = (
        set(
            re.findall(
                r'^  "?([\w.]+)"?:',
                (ROOT / "serving" / "playground" / "language" / f"{one}.js").read_text().split("NAMES")[0],
                re.M,
            )
        )
        for one in ("en", "zh")
    )
    assert len(en) > 50
    assert en == zh


def test_a_refused_model_shows_the_reason(visit: Visit) -> None:
    page = visit.open("broken")
    expect(page.locator(".alert")).to_contain_text("found a bundle of titanic")


def test_a_project_without_a_widget_gets_a_generic_form(browser: Browser, address: str) -> None:
    """The page knows no names: here the OpenAPI document has a new project."""
    visit = Visit(browser, address)
    fields = {
        "flavour": {"type": "string", "enum": ["sweet", "sour"]},
        "grams": {"type": "integer", "minimum": 1, "maximum": 500},
        "notes": {"type": "string"},
        "parts": {"type": "array", "items": {"type": "number"}},
    }
    example = {"flavour": "sweet", "grams": 100, "notes": "", "parts": [1, 2]}
    batch = {"type": "object", "properties": {"inputs": {"items": {"type": "object", "properties": fields}}}}
    answer = {"properties": {"outputs": {"items": {"properties": {"stars": {"type": "number"}}}}}}
    content = {"schema": batch, "examples": {"example": {"value": {"inputs": [example]}}}}
    operation = {
        "requestBody": {"content": {"application/json": content}},
        "responses": {"200": {"content": {"application/json": {"schema": answer}}}},
    }
    label = {"name": "cakes", "version": "1", "profile": "sample", "source": "the oven"}
    seen: list[Any] = []

    def predict(route: Route) -> None:
        requested: Any = route.request.post_data_json
        seen.append(requested["inputs"][0])
        route.fulfill(json={"outputs": [{"stars": 4.5}] * len(requested["inputs"]), "model": label})

    page = visit.page
    page.route("**/models", lambda route: route.fulfill(json={"models": [{**label, "status": "ready"}]}))
    page.route(
        "**/openapi.json", lambda route: route.fulfill(json={"paths": {"/models/cakes/predict": {"post": operation}}})
    )
    page.route("**/models/cakes/predict", predict)
    visit.open("cakes")
    expect(headline(page)).to_have_text("4.5")
    choose(page, "Flavour", "Sour")
    page.locator("#field-parts").fill("[3]")
    page.locator("#field-notes").fill("<b>warm</b>")
    expect(page.locator(".answer")).to_have_attribute("aria-busy", "false")
    assert {"flavour": "sour", "grams": 100, "notes": "<b>warm</b>", "parts": [3]} in seen
    visit.close()


def test_a_key_is_requested_and_kept_in_session_storage(browser: Browser, address: str) -> None:
    visit = Visit(browser, address)

    def guarded(route: Route) -> None:
        if route.request.headers.get("authorization") == "Bearer open-sesame":
            return route.continue_()
        problem = {"title": "Unauthorized", "status": 401, "detail": "send a key"}
        return route.fulfill(status=401, content_type="application/problem+json", json=problem)

    page = visit.page
    for path in ("**/models", "**/openapi.json", "**/predict"):
        page.route(path, guarded)
    page.goto(address)
    expect(page.locator(".alert")).to_contain_text("send a key")
    page.get_by_label("API key").fill("open-sesame")
    page.get_by_role("button", name="Use this key").click()
    expect(page.locator("h2")).to_be_visible()
    expect(page.get_by_label("API key")).to_be_hidden()
    page.goto(f"{address}#titanic")
    expect(headline(page)).to_be_visible()
    assert "open-sesame" not in page.locator(".more pre").inner_text()
    assert page.evaluate("[localStorage.getItem('key'), sessionStorage.getItem('key')]") == [None, "open-sesame"]
    visit.close()


def test_an_idle_model_is_loaded_when_opened(browser: Browser, artifacts: Path) -> None:
    with served(Settings(bundles=str(artifacts), load="lazy")) as address:
        visit = Visit(browser, address)
        page = visit.open("titanic")
        expect(headline(page)).to_be_visible()
        visit.close()


def test_an_unreachable_server_is_reported(browser: Browser, address: str) -> None:
    visit = Visit(browser, address)
    page = visit.open("titanic")
    expect(headline(page)).to_be_visible()
    page.route("**/predict", lambda route: route.abort())
    choose(page, "Class", "2nd")
    expect(page.locator(".alert")).to_contain_text("The server does not respond")
    visit.close()


def test_files_have_a_strict_policy_and_are_revalidated(artifacts: Path) -> None:
    with TestClient(create_app(Settings(bundles=str(artifacts)))) as client:
        first = client.get("/")
        policy = first.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy
        assert client.get("/", headers={"if-none-match": first.headers["etag"]}).status_code == 304
        script = client.get("/playground/app.js")
        assert script.headers["content-type"].startswith("text/javascript")
        assert client.get("/playground/app.js", headers={"if-none-match": script.headers["etag"]}).status_code == 304
        for outside in ("/playground/../page.py", "/playground/%2e%2e/page.py", "/playground/none.js"):
            assert client.get(outside).headers["content-type"] == "application/problem+json"
    for path in filter(Path.is_file, (ROOT / "serving" / "playground").rglob("*")):
        assert "://" not in path.read_text().replace("http://www.w3.org/2000/svg", ""), path
