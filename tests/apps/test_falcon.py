import frameworks

APP = "falconapp:app"


class TestFalcon(frameworks.Common, frameworks.ReadsToTheEnd):
    RANGED = ["/static/sample.bin"]

    def test_error_pages(self, site):
        assert site.ask("/json", "DELETE").status == 405
        got = site.json("/json", "POST", body="{", headers={"Content-Type": "application/json"}, status=400)
        assert got["title"] == "Invalid JSON"
