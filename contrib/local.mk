# The programs of the benchmark: `make bench-programs`.

BENCH_BINARIES = \
	contrib/bench/c-responder contrib/bench/fcgi-load contrib/bench/null-responder contrib/bench/pybase
EXTRA_PROGRAMS += $(BENCH_BINARIES)
contrib_bench_fcgi_load_SOURCES = \
	contrib/bench/fcgi-load.c \
	contrib/bench/histogram.h \
	contrib/bench/load-answer.c contrib/bench/load-answer.h \
	contrib/bench/load-conn.c contrib/bench/load-conn.h \
	contrib/bench/load-report.c \
	contrib/bench/load-request.c contrib/bench/load-request.h \
	contrib/bench/load.c contrib/bench/load.h
contrib_bench_null_responder_LDADD = $(NET_LIBS)
contrib_bench_pybase_CPPFLAGS = $(AM_CPPFLAGS) $(PYTHON_CPPFLAGS)
contrib_bench_pybase_LDADD = $(PYTHON_LIBS)

.PHONY: bench-programs
bench-programs: wsgi-fcgi$(EXEEXT) $(BENCH_BINARIES:=$(EXEEXT))

CLEANFILES += $(BENCH_BINARIES:=$(EXEEXT))
