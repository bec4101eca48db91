# The programs of the benchmark: `make bench-programs`.

BENCH_BINARIES = \
	contrib/bench/c-responder contrib/bench/fcgi-load contrib/bench/libfcgi-responder contrib/bench/null-responder \
	contrib/bench/soak-client
# It embeds a Python, which a build of the module has not.
if !EXTENSION
BENCH_BINARIES += contrib/bench/pybase
endif
EXTRA_PROGRAMS += $(BENCH_BINARIES)
contrib_bench_fcgi_load_SOURCES = \
	contrib/bench/fcgi-load.c \
	contrib/bench/histogram.h \
	contrib/bench/load-answer.c contrib/bench/load-answer.h \
	contrib/bench/load-base.c contrib/bench/load-base.h \
	contrib/bench/load-conn.c contrib/bench/load-conn.h \
	contrib/bench/load-report.c \
	contrib/bench/load-request.c contrib/bench/load-request.h \
	contrib/bench/load-slow.c contrib/bench/load-slow.h \
	contrib/bench/load-visitors.c contrib/bench/load-visitors.h \
	contrib/bench/load.c contrib/bench/load.h
contrib_bench_fcgi_load_LDADD = -lm
contrib_bench_libfcgi_responder_LDADD = $(FCGI_LIBS)
contrib_bench_null_responder_LDADD = $(FRONT_LIBS)
contrib_bench_pybase_CPPFLAGS = $(AM_CPPFLAGS) $(PYTHON_CPPFLAGS)
contrib_bench_pybase_LDADD = $(PYTHON_LIBS)
contrib_bench_pybase_LDFLAGS = $(AM_LDFLAGS) $(PYTHON_WRAP)
EXTRA_contrib_bench_pybase_DEPENDENCIES = $(PYTHON_COPY)

contrib_bench_soak_client_SOURCES = \
	contrib/bench/histogram.h \
	contrib/bench/load-answer.c contrib/bench/load-answer.h \
	contrib/bench/load-base.c contrib/bench/load-base.h \
	contrib/bench/soak-client.c

# A library to preload, which automake makes only together with libtool. No hardening, instrumentation or PIE flags:
# it is loaded into programs that have their own.
contrib/bench/malloc-count.so: contrib/bench/malloc-count.c config.h
	@$(MKDIR_P) contrib/bench
	$(AM_V_CCLD)$(CC) -I. $(CPPFLAGS) -std=c11 $(WARN_CFLAGS) $(CFLAGS) -fPIC -shared -o $@ \
		'$(srcdir)/contrib/bench/malloc-count.c'

.PHONY: bench-programs
bench-programs: $(SERVER) $(BENCH_BINARIES:=$(EXEEXT)) contrib/bench/malloc-count.so

CLEANFILES += $(BENCH_BINARIES:=$(EXEEXT)) contrib/bench/malloc-count.so

# The tests of the benchmark's own tools: a load generator that lies would not be noticed otherwise.

.PHONY: check-bench
check-bench: bench-programs
	FCGI_LOAD='$(abs_top_builddir)/contrib/bench/fcgi-load$(EXEEXT)' $(RUN_PYTEST) '$(top_srcdir)/tests/bench'

# The units of systemd. make knows the directories in them, configure does not yet.

SYSTEMD_UNIT_FILES = contrib/systemd/wsgi-fcgi@.service contrib/systemd/wsgi-fcgi@.socket
if SYSTEMD_UNITS
systemdsystemunit_DATA = $(SYSTEMD_UNIT_FILES)
endif
dist_doc_DATA = contrib/systemd/example.conf

$(SYSTEMD_UNIT_FILES): contrib/local.mk Makefile
	@$(MKDIR_P) contrib/systemd
	$(AM_V_GEN)sed -e 's,[@]bindir[@],$(bindir),g' -e 's,[@]sysconfdir[@],$(sysconfdir),g' '$(srcdir)/$@.in' >$@.new && \
		mv -f $@.new $@
contrib/systemd/wsgi-fcgi@.service: contrib/systemd/wsgi-fcgi@.service.in
contrib/systemd/wsgi-fcgi@.socket: contrib/systemd/wsgi-fcgi@.socket.in

CLEANFILES += $(SYSTEMD_UNIT_FILES)
