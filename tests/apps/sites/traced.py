from flask import Flask
from opentelemetry import trace

app = Flask(__name__)


@app.route("/user/<name>")
def user(name):
    with trace.get_tracer(__name__).start_as_current_span("query"):
        return name
