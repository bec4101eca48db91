"""C extensions in views: they keep state per thread and process, and release the interpreter lock."""
import os
import sys
import threading

import lxml.etree
import numpy
import psycopg
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from flask import Flask, Response, jsonify, request

app = Flask(__name__)
key = rsa.generate_private_key(65537, 2048)
local = threading.local()
sheet = lxml.etree.XSLT(lxml.etree.XML("""\
<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform">
  <xsl:template match="/"><sum n="{count(//item)}"><xsl:value-of select="sum(//item)"/></sum></xsl:template>
</xsl:stylesheet>"""))


@app.route("/where")
def where():
    return jsonify(prefix=sys.prefix, executable=sys.executable,
                   files=[module.__file__ for module in (lxml.etree, numpy, psycopg)],
                   implementation=psycopg.pq.__impl__)


@app.route("/numpy/<int:seed>")
def with_numpy(seed):
    """A matrix times its inverse, in BLAS and LAPACK, which have threads of their own."""
    matrix = numpy.random.default_rng(seed).random((80, 80)) + 80 * numpy.eye(80)
    error = numpy.abs(matrix @ numpy.linalg.inv(matrix) - numpy.eye(80)).max()
    return jsonify(error=float(error), sum=float(matrix.sum()))


@app.route("/numpy/bytes", methods=["POST"])
def numpy_bytes():
    """The body without a copy into Python objects of its own, and the answer by the buffer protocol."""
    array = numpy.frombuffer(request.get_data(), dtype="<u4")
    return Response((array[::-1] + 1).astype("<u4").tobytes(), mimetype="application/octet-stream")


@app.route("/lxml", methods=["POST"])
def with_lxml():
    tree = lxml.etree.parse(request.stream)
    return Response(lxml.etree.tostring(sheet(tree)), mimetype="application/xml")


@app.route("/cryptography", methods=["POST"])
def with_cryptography():
    data = request.get_data()
    secret, nonce = AESGCM.generate_key(256), os.urandom(12)
    assert AESGCM(secret).decrypt(nonce, AESGCM(secret).encrypt(nonce, data, b"x"), b"x") == data
    return Response(key.sign(data, padding.PKCS1v15(), hashes.SHA256()), mimetype="application/octet-stream")


@app.route("/cryptography/key")
def public_key():
    return Response(key.public_key().public_bytes(serialization.Encoding.PEM,
                                                  serialization.PublicFormat.SubjectPublicKeyInfo))


@app.route("/psycopg", methods=["POST"])
def with_psycopg():
    """Sends the body to the database and gets it back, on a connection of the thread."""
    if not hasattr(local, "connection"):
        local.connection = psycopg.connect(host=os.environ["POSTGRES"], user="postgres", autocommit=True)
    row = local.connection.execute("SELECT %b::bytea, pg_sleep(0.005)", [request.get_data()]).fetchone()
    return Response(row[0], mimetype="application/octet-stream")
