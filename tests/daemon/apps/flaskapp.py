"""What a small Flask application does in a day."""
import hashlib
import logging
import os

from flask import (Flask, Response, abort, jsonify, make_response, redirect, request, send_file, session,
                   stream_with_context, url_for)

from gateway import visit

app = Flask(__name__)
app.secret_key = "for tests only"
app.logger.setLevel(logging.INFO)


@app.route("/")
def index():
    return "index"


@app.route("/user/<name>")
def user(name):
    return jsonify(name=name, script=request.script_root, url=request.url, args=request.args.to_dict(flat=False))


@app.route("/json", methods=["POST"])
def json():
    return jsonify(got=request.get_json()), 201


@app.route("/form", methods=["POST"])
def form():
    return jsonify(request.form.to_dict(flat=False))


@app.route("/upload", methods=["POST"])
def upload():
    sent = request.files["file"]
    data = sent.read()
    return jsonify(name=sent.filename, type=sent.mimetype, length=len(data), sha=hashlib.sha256(data).hexdigest(),
                   note=request.form["note"])


@app.route("/stream")
def stream():
    def chunks():
        yield "chunk 0\n"
        for number in (1, 2):
            visit(request.args["gate"], "chunk %d" % number)
            yield "chunk %d\n" % number
    return Response(stream_with_context(chunks()), mimetype="text/plain", headers={"X-Accel-Buffering": "no"})


@app.route("/old")
def old():
    return redirect(url_for("index", _external=True))


@app.route("/cookies")
def cookies():
    response = make_response("cookies")
    for number in (1, 2, 3):
        response.set_cookie("c%d" % number, "v%d %s" % (number, request.cookies.get("c%d" % number, "")))
    return response


@app.route("/count")
def count():
    session["count"] = session.get("count", 0) + 1
    return str(session["count"])


@app.route("/file")
def file():
    return send_file(os.path.abspath(__file__), mimetype="text/x-python")


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
