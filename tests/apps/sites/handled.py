"""What watched.py calls in each request."""


def total(numbers):
    result = 0
    for number in numbers:
        result += number
    return result  # the tests' breakpoint


def handle(query):
    if not query:
        return "nothing"
    return str(total(int(part) for part in query.split("+")))
