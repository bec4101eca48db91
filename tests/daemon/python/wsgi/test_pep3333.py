"""pep3333.md: every section and every clause has its tests, and they exist."""
import tables

# Those of the PEP that require something, in its order.
SECTIONS = [
    "Specification Overview", "A Note On String Types", "The Application/Framework Side", "The Server/Gateway Side",
    "Middleware: Components that Play Both Sides", "Specification Details", "environ Variables",
    "Input and Error Streams", "The start_response() Callable", "Handling the Content-Length Header",
    "Buffering and Streaming", "Middleware Handling of Block Boundaries", "The write() Callable", "Unicode Issues",
    "Error Handling", "HTTP 1.1 Expect/Continue", "Other HTTP Features", "Thread Support", "Server Extension APIs",
    "Application Configuration", "URL Reconstruction", "Supporting Older (<2.2) Versions of Python",
    "Optional Platform-Specific File Handling", "Questions and Answers",
]


def test_every_section_is_there():
    assert list(tables.rows("pep3333.md")) == SECTIONS


def test_every_clause_has_tests_that_exist():
    tables.check("pep3333.md")
