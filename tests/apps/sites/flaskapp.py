import csv
import io
import logging

import requests
from flask import (Flask, Response, abort, jsonify, make_response, redirect, request, send_file, session,
                   stream_with_context, url_for)

import shared

app = Flask(__name__, static_folder=shared.STATIC, static_url_path="/static")
app.secret_key = "for tests only"
app.logger.setLevel(logging.INFO)


@app.route("/")
def index():
    return "index"


@app.route("/user/<name>")
def user(name):
    return jsonify(name=name, args=request.args.to_dict(flat=False), url=request.url)


@app.route("/json", methods=["POST"])
def json():
    return jsonify(got=request.get_json()), 201


@app.route("/form", methods=["POST"])
def form():
    return jsonify(request.form.to_dict(flat=False))


@app.route("/upload", methods=["POST"])
def upload():
    sent = request.files["file"]
    return jsonify(**shared.digest(sent), name=sent.filename, type=sent.mimetype, note=request.form["note"])


@app.route("/digest", methods=["PUT"])
def digest():
    return jsonify(shared.digest(request.stream))


@app.route("/csv", methods=["POST"])
def rows():
    """request.stream is wsgi.input itself."""
    return jsonify(list(csv.reader(io.TextIOWrapper(request.stream, "utf-8", newline=""))))


@app.route("/passed-on")
def passed_on():
    """The answer of another server, with all its headers."""
    answer = requests.get(request.args["url"], timeout=30)
    return answer.content, answer.status_code, list(answer.headers.items())


@app.route("/stream")
def stream():
    chunks = shared.Chunks(request.args["gate"], int(request.args["count"]))
    return Response(stream_with_context(chunks), mimetype="text/plain", headers={"X-Accel-Buffering": "no"})


@app.route("/breaks")
def breaks():
    return Response(shared.broken(), mimetype="text/plain")


@app.route("/old")
def old():
    return redirect(url_for("index", _external=True))


@app.route("/cookies")
def cookies():
    response = make_response(jsonify(request.cookies))
    for number in (1, 2, 3):
        response.set_cookie("c%d" % number, "v %d" % number)
    return response


@app.route("/count")
def count():
    session["count"] = session.get("count", 0) + 1
    return str(session["count"])


@app.route("/file")
def file():
    return send_file(shared.SAMPLE)


@app.route("/fails")
def fails():
    raise RuntimeError("broken view")


@app.route("/forbidden")
def forbidden():
    abort(403)


@app.route("/logs")
def logs():
    app.logger.info("logged by the application: %s", request.args["token"])
    return "logged"
