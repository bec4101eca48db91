import frameworks

APP = "pyramidapp:application"


class TestPyramid(frameworks.Common, frameworks.ReadsToTheEnd):
    def test_error_pages(self, site):
        response = site.ask("/forbidden")
        assert response.status == 403 and b"not for you" in response.body
