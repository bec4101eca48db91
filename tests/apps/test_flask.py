import frameworks

APP = "flaskapp:app"


class TestFlask(frameworks.Common, frameworks.ReadsToTheEnd):
    def test_error_pages(self, site):
        assert site.ask("/forbidden").status == 403
        assert site.ask("/json", "DELETE").status == 405
        assert site.ask("/json", "POST", body="{", headers={"Content-Type": "application/json"}).status == 400

    def test_log(self, site):
        """Flask's logger writes to wsgi.errors."""
        site.ask("/logs?token=" + site.name)
        site.server.wait_log("logged by the application: " + site.name)
