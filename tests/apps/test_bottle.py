import frameworks

APP = "bottleapp:application"


class TestBottle(frameworks.Common):
    def test_error_pages(self, site):
        response = site.ask("/forbidden")
        assert response.status == 403 and b"not for you" in response.body
        assert site.ask("/json", "DELETE").status == 405
