import urllib.parse

import pytest
import requests

import django_site
import frameworks
from frameworks import FORM

APP = "mysite.wsgi:application"


@pytest.fixture(scope="module")
def environment(static, tmp_path_factory):
    database = tmp_path_factory.mktemp("d") / "db.sqlite3"
    return django_site.prepare(static, ENGINE="django.db.backends.sqlite3", NAME=str(database), OPTIONS={"timeout": 60})


@pytest.fixture
def browser(site):
    """Somebody who is logged in to the admin site."""
    session = requests.Session()
    login = site.url("/admin/login/?next=/admin/auth/user/")
    assert "Log in" in session.get(login).text
    name, password = django_site.ADMIN
    page = submit(session, login, username=name, password=password)
    assert page.url == site.url("/admin/auth/user/") and "Select user to change" in page.text
    yield session
    session.close()


def submit(session, url, **fields):
    # As a browser does; Django compares Origin with what it takes for its own host.
    origin = "://".join(urllib.parse.urlsplit(url)[:2])
    return session.post(url, dict(fields, csrfmiddlewaretoken=session.cookies["csrftoken"]), headers={"Origin": origin})


class TestDjango(frameworks.Common):
    RANGED = ["/static/sample.bin"]

    def test_csrf(self, site):
        response = site.ask("/guarded", "POST", body="a=b", headers={"Content-Type": FORM})
        assert response.status == 403 and b"CSRF" in response.body

    def test_admin(self, site, browser):
        name = "Zo\xeb-" + site.name
        page = submit(browser, site.url("/admin/auth/user/add/"), username=name, password1="tr0ub4dor&3",
                      password2="tr0ub4dor&3", usable_password="true", _save="Save")
        assert page.history[0].status_code == 302 and "was added successfully" in page.text
        assert "1 user" in browser.get(site.url("/admin/auth/user/"), params={"q": name}).text
        assert page.url.endswith("/change/")
        changed = submit(browser, page.url, username=name, first_name="\u0416", is_staff="on",
                         date_joined_0="2024-01-01", date_joined_1="00:00:00", _save="Save")
        assert "was changed successfully" in changed.text
        assert "\u0416" in browser.get(site.url("/admin/auth/user/"), params={"q": name}).text

    def test_log_out(self, site, browser):
        assert submit(browser, site.url("/admin/logout/")).status_code == 200
        assert "/admin/login/" in browser.get(site.url("/admin/")).url

    def test_wrong_password(self, site):
        with requests.Session() as session:
            session.get(site.url("/admin/login/"))
            page = submit(session, site.url("/admin/login/"), username="admin", password="wrong")
            assert "Please enter the correct username" in page.text
            assert "/admin/login/" in session.get(site.url("/admin/")).url

    def test_static_files_of_admin(self, site):
        response = site.ask("/static/admin/css/base.css")
        assert response.status == 200 and b"django" in response.body.lower()
        assert ("Content-Type", 'text/css; charset="utf-8"') in response.headers
