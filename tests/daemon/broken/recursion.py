"""A category is in one that is in it."""

PARENTS = {"tables": "furniture", "furniture": "tables"}


def trail(category):
    parent = PARENTS.get(category)
    return trail(parent) + [category] if parent else [category]  # at fault


def application(environ, start_response):
    answer = " > ".join(trail("tables")).encode() if environ["PATH_INFO"] == "/trail" else b"fine\n"
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [answer]
