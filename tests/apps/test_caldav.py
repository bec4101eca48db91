"""Radicale, and caldav as its client."""
import concurrent.futures
import datetime

import caldav
import pytest
import requests

from fcgi import PATIENCE

APP = "radicale"
AUTH = ("me", "sesame")
CONFIG = """\
[auth]
type = htpasswd
htpasswd_filename = {directory}/users
htpasswd_encryption = plain
delay = 0
[storage]
filesystem_folder = {directory}/collections
"""
ADDRESS_BOOK = """\
<?xml version="1.0"?>
<mkcol xmlns="DAV:" xmlns:C="urn:ietf:params:xml:ns:carddav">
  <set><prop><resourcetype><collection/><C:addressbook/></resourcetype></prop></set>
</mkcol>"""
CARD = """\
BEGIN:VCARD
VERSION:3.0
UID:zoe
FN:Zo\xeb \u0416
NOTE:{note}
END:VCARD
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    directory = tmp_path_factory.mktemp("radicale")
    (directory / "users").write_text("%s:%s\n" % AUTH)
    (directory / "config").write_text(CONFIG.format(directory=directory))
    return {"RADICALE_CONFIG": directory / "config"}


@pytest.fixture
def principal(site):
    with caldav.DAVClient(site.url("/"), username=AUTH[0], password=AUTH[1], timeout=PATIENCE) as client:
        yield client.principal()


@pytest.fixture
def calendar(principal):
    calendar = principal.make_calendar(name="Caf\xe9 \u20ac")
    yield calendar
    calendar.delete()


def day(number):
    return datetime.datetime(2024, 1, 1, 12, tzinfo=datetime.timezone.utc) + datetime.timedelta(days=number)


def add(calendar, number, **more):
    return calendar.save_event(dtstart=day(number), dtend=day(number) + datetime.timedelta(hours=1),
                               summary="Event %d \u0416" % number, **more)


def names(events):
    return sorted(str(event.icalendar_component["summary"]) for event in events)


def test_calendars(principal):
    made = principal.make_calendar(name="\u0416 & <x>")
    assert "\u0416 & <x>" in [calendar.get_display_name() for calendar in principal.calendars()]
    made.delete()
    assert "\u0416 & <x>" not in [calendar.get_display_name() for calendar in principal.calendars()]


def test_events(calendar):
    for number in range(10):
        add(calendar, number)
    assert names(calendar.events()) == ["Event %d \u0416" % number for number in range(10)]
    found = calendar.search(start=day(2) - datetime.timedelta(hours=1), end=day(4) + datetime.timedelta(hours=1),
                            event=True, expand=False)
    assert names(found) == ["Event %d \u0416" % number for number in (2, 3, 4)]
    found[0].icalendar_component["summary"] = "changed"
    found[0].save()
    found[1].delete()
    assert "changed" in names(calendar.events()) and len(calendar.events()) == 9


def test_repeated(calendar):
    add(calendar, 0, rrule={"FREQ": ["WEEKLY"], "COUNT": [10]})
    found = calendar.search(start=day(0), end=day(30), event=True, expand=True)
    assert len(found) == 5


def test_tasks(calendar):
    task = calendar.save_todo(summary="to do", due=day(3))
    assert names(calendar.todos()) == ["to do"]
    task.complete()
    assert calendar.todos() == []
    assert len(calendar.todos(include_completed=True)) == 1


def test_synchronisation(calendar):
    add(calendar, 0)
    state = calendar.objects_by_sync_token(load_objects=True)
    assert len(list(state)) == 1
    add(calendar, 1)
    changed = calendar.objects_by_sync_token(sync_token=state.sync_token, load_objects=True)
    assert names(changed) == ["Event 1 \u0416"]


def test_large_event(calendar):
    text = "0123456789 caf\xe9 " * 60000
    event = add(calendar, 0, description=text)
    event.load()
    assert str(event.icalendar_component["description"]) == text


def test_at_a_time(calendar):
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: add(calendar, number), range(60)))
    assert len(calendar.events()) == 60


def test_contacts(site):
    """CardDAV by hand: conditional requests, and bodies that are refused."""
    def ask(method, path, status, **more):
        response = requests.request(method, site.url(path), auth=AUTH, timeout=PATIENCE, **more)
        assert response.status_code == status, response.text
        return response

    book = "/me/book-%s/" % site.name
    ask("MKCOL", book, 201, data=ADDRESS_BOOK)
    card = CARD.format(note="x").encode()
    tag = ask("PUT", book + "zoe.vcf", 201, data=card, headers={"If-None-Match": "*"}).headers["ETag"]
    ask("PUT", book + "zoe.vcf", 412, data=card, headers={"If-None-Match": "*"})
    ask("PUT", book + "zoe.vcf", 204, data=CARD.format(note="y" * 300000).encode(), headers={"If-Match": tag})
    ask("PUT", book + "zoe.vcf", 412, data=card, headers={"If-Match": tag})
    assert "y" * 60 in ask("GET", book + "zoe.vcf", 200).text.replace("\r\n ", "")
    ask("PUT", book + "bad.vcf", 400, data=b"no card")
    ask("DELETE", book, 200)
    ask("GET", book + "zoe.vcf", 404)


def test_authorization(site):
    for auth in (None, ("me", "wrong")):
        response = requests.request("PROPFIND", site.url("/me/"), auth=auth, timeout=PATIENCE)
        assert response.status_code == 401 and "Basic" in response.headers["WWW-Authenticate"]
    assert "calendar-access" in requests.options(site.url("/"), auth=AUTH, timeout=PATIENCE).headers["DAV"]
