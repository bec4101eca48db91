"""fastcgi.md: every point has its tests, and they exist."""
import tables


def test_every_point_has_tests_that_exist():
    tables.check("fastcgi.md")
