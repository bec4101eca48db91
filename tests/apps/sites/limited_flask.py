"""SQLAlchemy with its pool, and psycopg2 with its own."""
import os

import psycopg2.pool
import sqlalchemy
from flask import Flask, jsonify, request

import limited

CONNECTIONS = int(os.environ["CONNECTIONS"])
app = Flask(__name__)
engine = sqlalchemy.create_engine("postgresql+psycopg2://postgres@/postgres?host=%s&application_name=limited" % os.environ["PGHOST"],
                                  pool_size=CONNECTIONS, max_overflow=0, pool_timeout=20)
# It does not wait, so it has room for the calls that go on as well.
pool = psycopg2.pool.ThreadedConnectionPool(0, 2 * CONNECTIONS + 1, host=os.environ["PGHOST"], user="postgres", dbname="postgres",
                                            application_name="limited")


@app.route("/sqlalchemy")
def use_sqlalchemy():
    limited.limit(request.args["time"])
    with engine.begin() as connection:
        limited.work(lambda: connection.execute(sqlalchemy.text("SELECT pg_sleep(0.003)")).all())
    return "done"


@app.route("/psycopg2")
def use_psycopg2():
    limited.limit(request.args["time"])
    connection = pool.getconn()
    try:
        with connection, connection.cursor() as cursor:
            limited.work(lambda: cursor.execute("SELECT pg_sleep(0.003)"))
    finally:
        pool.putconn(connection)
    return "done"


@app.route("/state")
def state():
    return jsonify(locked=limited.locked(), sqlalchemy=engine.pool.checkedout(), psycopg2=len(pool._used))
