"""A real browser, Chromium, logs in to Django's admin site and works there."""
import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

import django_site
from fcgi import PATIENCE

APP = "mysite.wsgi:application"


@pytest.fixture(scope="module")
def environment(static, tmp_path_factory):
    database = tmp_path_factory.mktemp("d") / "db.sqlite3"
    return django_site.prepare(static, ENGINE="django.db.backends.sqlite3", NAME=str(database), OPTIONS={"timeout": 60})


@pytest.fixture(scope="module")
def chromium():
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    # The sandbox does not run as root, nor in most containers; /dev/shm is small there.
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--no-proxy-server"):
        options.add_argument(argument)
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService("/usr/bin/chromedriver"))
    driver.set_page_load_timeout(PATIENCE)
    yield driver
    driver.quit()


def send(driver, **fields):
    """Fills a form in, and waits for the page that follows."""
    for name, value in fields.items():
        field = driver.find_element(By.NAME, name)
        field.send_keys(value)
    page = driver.find_element(By.TAG_NAME, "html").id
    field.submit()
    WebDriverWait(driver, PATIENCE).until(lambda d: d.find_element(By.TAG_NAME, "html").id != page)


def test_log_in(site, chromium):
    chromium.get(site.url("/admin/login/?next=/admin/auth/group/add/"))
    name, password = django_site.ADMIN
    send(chromium, username=name, password=password)
    assert chromium.current_url == site.url("/admin/auth/group/add/"), chromium.page_source
    assert chromium.find_element(By.ID, "header").value_of_css_property("background-color") != "rgba(0, 0, 0, 0)"
    group = "caf\xe9 " + site.name
    send(chromium, name=group)
    assert chromium.current_url == site.url("/admin/auth/group/"), chromium.page_source
    assert group in chromium.find_element(By.ID, "result_list").text
    chromium.delete_all_cookies()
