"""The page in a real browser, Chromium."""
import functools
import http.server
import json
import re
import threading
import urllib.parse

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from conftest import run_render

PATIENCE = 120
# Begins to ask at once, and each two seconds: a test that waits for it does not hurry.
wait = functools.partial(WebDriverWait, timeout=PATIENCE, poll_frequency=0.1)


class Site:
    """Serves the page of a scene, which can change."""

    def __init__(self):
        site = self
        self.scene, self.status, self.asked = "shop", 200, []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                url = urllib.parse.urlsplit(self.path)
                site.asked.append(self.path)
                answer = run_render(site.scene, self.headers.get("Accept", ""), url.query)
                body = answer.text.encode()
                self.send_response(site.status)
                for name, value in {**answer.headers, "Content-Type": answer.type, "Content-Length": len(body)}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = "http://127.0.0.1:%d/-/status" % self.server.server_port


@pytest.fixture
def site():
    site = Site()
    yield site
    site.server.shutdown()


def start_chromium():
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    # The sandbox does not run as root, nor in most containers; /dev/shm is small there.
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--no-proxy-server",
                     "--window-size=1100,900"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))
    driver.set_page_load_timeout(PATIENCE)
    return driver


@pytest.fixture(scope="module")
def chromium():
    driver = start_chromium()
    yield driver
    driver.quit()


@pytest.fixture
def browser(chromium):
    yield chromium
    chromium.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    chromium.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    chromium.get("about:blank")
    chromium.get_log("browser")
    chromium.get_log("performance")


def text(browser, element):
    return browser.find_element(By.ID, element).text


def refreshed(browser):
    return int(browser.execute_script("return document.documentElement.dataset.refreshed || 0"))


def wait_for_refreshes(browser, count):
    target = refreshed(browser) + count
    wait(browser).until(lambda b: refreshed(b) >= target)


def no_complaints(browser):
    """Neither an error of the script, nor something that the policy has stopped."""
    assert browser.get_log("browser") == []


def hosts(browser):
    """Whom the browser has asked for something, data: aside."""
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    urls = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    return {urllib.parse.urlsplit(url).netloc for url in urls if not url.startswith("data:")}


# What is within tables and plots is replaced by each refresh, which may come between two questions: one script asks.
def rows(browser, body):
    return browser.execute_script(
        "return [...document.querySelectorAll('#%s tr')].map(tr => [...tr.cells].map(td => td.innerText))" % body)


def curve(browser, name):
    """Of a line of a plot: what it is made of, and its width and height."""
    return browser.execute_script("""
        const path = document.querySelectorAll('#latency .%s'), box = path[0].getBoundingClientRect();
        return path.length === 1 && [path[0].getAttribute('d'), box.width, box.height];""" % name)


def unfold(browser):
    browser.execute_script("document.querySelectorAll('#running-rows details').forEach(d => { d.open = true; })")


def test_page(browser, site):
    browser.get(site.url)
    wait_for_refreshes(browser, 2)
    no_complaints(browser)
    assert hosts(browser) == {urllib.parse.urlsplit(site.url).netloc}
    assert browser.title == "shop.wsgi:application - wsgi-fcgi"
    assert "all 4 threads are busy" in text(browser, "notes")
    first = rows(browser, "running-rows")[0]
    assert "POST /checkout" in first[1] and first[2].startswith("blocked") and "/srv/shop/stock.py:57 in reserve" in first[3]
    # A bar for each step that is over, a line for each of the two durations.
    assert len(browser.find_elements(By.CSS_SELECTOR, "#rate .bars")) == 119
    assert len(browser.find_elements(By.CSS_SELECTOR, "#rate .errors")) > 3
    for name in "median", "slow":
        path, width, height = curve(browser, name)
        assert path.count("L") > 100
        assert width > 200 and height > 10


BODIES = ("running-rows", "workers", "slowest", "frequent", "times", "ends", "log-rows", "history", "totals")


def tables(browser):
    """The text of all cells, also of what is folded, without numbers, most of which change meanwhile."""
    script = "return [...document.querySelectorAll('#%s td')].map(td => td.textContent)"
    return {body: [re.sub(r"\d+(\.\d+)?", "N", cell) for cell in browser.execute_script(script % body)] for body in BODIES}


def test_script_shows_what_the_server_shows(browser, site):
    browser.get(site.url)
    wait_for_refreshes(browser, 1)
    scripted = tables(browser)
    # Chromium runs what is asked of it here, whatever the page may.
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    browser.get(site.url)
    assert not browser.find_element(By.ID, "plots").is_displayed()
    for body, cells in tables(browser).items():
        assert cells and cells == scripted[body], body


def test_without_script(browser, site):
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    browser.get(site.url)
    shown = browser.find_element(By.TAG_NAME, "body").text
    for part in ("all 4 threads are busy", "/srv/shop/stock.py:57", "/report/yearly", "was killed by SIGSEGV", "overload:",
                 "Load the page again"):
        assert part in shown, part
    assert not browser.find_element(By.ID, "plots").is_displayed()
    assert not browser.find_element(By.ID, "pause").is_displayed()
    # What is folded needs no script either.
    fold = browser.find_element(By.CSS_SELECTOR, "#running-rows details")
    fold.find_element(By.TAG_NAME, "summary").click()
    assert 'File "/srv/shop/views.py", line 118, in checkout' in fold.text
    assert site.asked == ["/-/status"]


def test_refreshes(browser, site):
    browser.get(site.url)
    wait_for_refreshes(browser, 1)
    unfold(browser)
    wait_for_refreshes(browser, 2)
    # What was unfolded has stayed so.
    assert "line 118, in checkout" in text(browser, "running-rows")
    site.scene = "nothing"
    wait(browser).until(lambda b: "no request has run" in text(b, "running-rows"))
    assert text(browser, "notes") == "no worker serves: the log says why"
    site.status = 503
    wait(browser).until(lambda b: text(b, "lost"))
    assert "No answer (status 503). What is shown is of " in text(browser, "lost")
    site.status = 200
    wait(browser).until(lambda b: not text(b, "lost"))


def test_pause(browser, site):
    browser.get(site.url)
    wait_for_refreshes(browser, 1)
    button = browser.find_element(By.ID, "pause")
    button.click()
    assert button.get_attribute("aria-pressed") == "true"
    wait_for_refreshes(browser, 1)
    before = len(site.asked)
    wait_for_refreshes(browser, 2)
    assert len(site.asked) == before
    button.click()
    wait(browser).until(lambda b: len(site.asked) > before)


@pytest.mark.parametrize("script", [True, False])
def test_hostile(browser, site, script):
    """Whatever peers and applications have put there is text."""
    site.scene = "hostile"
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": not script})
    browser.get(site.url)
    if script:
        wait_for_refreshes(browser, 2)
    no_complaints(browser)
    assert browser.title == "</title><script>document.title='owned'</script> - wsgi-fcgi"
    assert hosts(browser) == {urllib.parse.urlsplit(site.url).netloc}
    shown = text(browser, "running-rows")
    assert "/\"><script>document.title='owned'</script>" in shown
    assert "<img src=x onerror=document.title='owned'>" in shown
    assert "/\\u202e txt.exe\\u001b]0;owned\\u0007" in shown
    assert "/\ufffd\ufffd\ufffd(" in shown
    assert "/{{7*7}}</textarea></pre></style>" in shown
    assert not browser.find_elements(By.CSS_SELECTOR, "main img, main script, main textarea")


def luminance(colour):
    values = [int(n) / 255 for n in re.findall(r"\d+", colour)[:3]]
    red, green, blue = (n / 12.92 if n <= 0.04045 else ((n + 0.055) / 1.055) ** 2.4 for n in values)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast(browser, site, scheme):
    """WCAG 2.1, 1.4.3: 4.5 to 1."""
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]})
    browser.get(site.url)
    wait_for_refreshes(browser, 1)
    colours = browser.execute_script("""
        const back = e => { for (; e; e = e.parentElement) {
            const c = getComputedStyle(e).backgroundColor;
            if (c !== 'rgba(0, 0, 0, 0)') return c;
        } return 'rgb(255, 255, 255)'; };
        return [...document.querySelectorAll('body *')].filter(e => [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()))
            .filter(e => !e.closest('script, noscript')).map(e => [e.tagName, getComputedStyle(e).color, back(e)]);""")
    assert len(colours) > 100
    for tag, front, back in colours:
        lighter, darker = sorted((luminance(front), luminance(back)), reverse=True)
        assert (lighter + 0.05) / (darker + 0.05) >= 4.5, (tag, front, back)
    assert (luminance(colours[0][2]) < 0.1) == (scheme == "dark")


@pytest.mark.parametrize("scene", ["shop", "hostile", "full"])
def test_phone(browser, site, scene):
    """Nothing is cut off: the page itself never scrolls sideways, wide tables do within it."""
    site.scene = scene
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride",
                            {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True})
    browser.get(site.url)
    wait_for_refreshes(browser, 1)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 360


def test_headings(browser, site):
    browser.get(site.url)
    wait_for_refreshes(browser, 1)
    names = [h.text for h in browser.find_elements(By.TAG_NAME, "h2")]
    assert names == ["Running", "Last ten minutes", "Workers", "Slowest paths", "Most frequent paths", "Times since the start",
                     "Workers that have ended", "Log", "More"]
    for svg in browser.find_elements(By.TAG_NAME, "svg"):
        assert svg.get_attribute("role") == "img" and svg.get_attribute("aria-label")
