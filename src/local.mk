# One library per folder. A folder is a layer: dependencies point downward only, and the link lines below say which.

noinst_LIBRARIES += \
	src/libbase.a src/libproto.a src/librequest.a src/libsched.a src/liblisten.a src/libnet.a src/libnetfcgi.a \
	src/libcli.a src/libpy.a src/libpyapp.a src/libpywsgi.a src/libprocess.a

src_libbase_a_SOURCES = \
	src/base/ascii.c src/base/ascii.h \
	src/base/buf.c src/base/buf.h \
	src/base/clock.h src/base/pread.h \
	src/base/descriptors.c src/base/descriptors.h \
	src/base/fdtable.c src/base/fdtable.h \
	src/base/hash.c src/base/hash.h \
	src/base/log.c src/base/log.h \
	src/base/log_table.c src/base/log_table.h \
	src/base/log_writer.c src/base/log_writer.h \
	src/base/thread_limit.c src/base/thread_limit.h

# Links alone: nothing but libc. Of base/ it uses what is inline and pure, in ascii.h and hash.h.
src_libproto_a_CFLAGS = $(AM_CFLAGS) -Wconversion
src_libproto_a_SOURCES = \
	src/proto/cgi.c src/proto/cgi.h \
	src/proto/cgi_paths.c src/proto/cgi_paths.h \
	src/proto/cgi_rules.c src/proto/cgi_rules.h \
	src/proto/decimal.h \
	src/proto/fcgi_decode.c src/proto/fcgi_decode.h \
	src/proto/fcgi_encode.c src/proto/fcgi_encode.h \
	src/proto/fcgi_values.c src/proto/fcgi_values.h \
	src/proto/forwarded.c src/proto/forwarded.h \
	src/proto/http_target.c src/proto/http_target.h \
	src/proto/params.c src/proto/params.h
if HTTP
src_libproto_a_SOURCES += \
	src/proto/http_body.c src/proto/http_body.h \
	src/proto/http_encode.c src/proto/http_encode.h \
	src/proto/http_head.c src/proto/http_head.h \
	src/proto/http_lines.c src/proto/http_lines.h \
	src/proto/proxy_header.c src/proto/proxy_header.h
endif

# Libraries of others, of which extensions of the application must not find anything: archives, or loaded by src/dl.
EV_LIBS = $(PRIVATE_EV_LIBS)
FASTCGI_LIBS = $(PRIVATE_FCGI_LIBS)
HTTP_LIBS = $(PRIVATE_LLHTTP_LIBS)
if LOAD
noinst_LIBRARIES += src/libdl.a
src_libdl_a_SOURCES = src/dl/dl.c src/dl/dl.h
endif
if LOAD_EV
noinst_LIBRARIES += src/libloadev.a
src_libloadev_a_SOURCES = src/dl/ev.c
EV_LIBS += src/libloadev.a src/libdl.a
endif
if LOAD_FCGI
noinst_LIBRARIES += src/libloadfcgi.a
src_libloadfcgi_a_SOURCES = src/dl/fcgi.c
FASTCGI_LIBS += src/libloadfcgi.a src/libdl.a
endif
if LOAD_LLHTTP
noinst_LIBRARIES += src/libloadllhttp.a
src_libloadllhttp_a_SOURCES = src/dl/llhttp.c
HTTP_LIBS += src/libloadllhttp.a src/libdl.a
endif

# Code of others: without our warnings. Strict mode is what HTTP says, without what old peers get wrong.
if COMPILE_LLHTTP
noinst_LIBRARIES += src/libllhttp.a
src_libllhttp_a_CPPFLAGS = $(LLHTTP_CFLAGS) -I$(LLHTTP_SOURCES) -DLLHTTP_STRICT_MODE=1
src_libllhttp_a_CFLAGS = -w $(HARDEN_CFLAGS) $(HIDE_CFLAGS) $(INSTRUMENT_CFLAGS)
src_libllhttp_a_SOURCES = src/llhttp/api.c src/llhttp/http.c src/llhttp/llhttp.c
HTTP_LIBS += src/libllhttp.a
endif

src_librequest_a_SOURCES = \
	src/request/answer.c src/request/answer.h \
	src/request/body.c src/request/body.h \
	src/request/request.c src/request/request.h

src_libsched_a_SOURCES = \
	src/sched/predict.c src/sched/predict.h \
	src/sched/sched.c src/sched/sched.h src/sched/sched_impl.h \
	src/sched/taskstat.c src/sched/taskstat.h \
	src/sched/waits.c src/sched/watch.c

src_liblisten_a_SOURCES = \
	src/net/listen/access.c src/net/listen/access.h \
	src/net/listen/address.c src/net/listen/address.h \
	src/net/listen/id.h \
	src/net/listen/listener.c src/net/listen/listener.h \
	src/net/listen/socket_file.c src/net/listen/socket_file.h \
	src/net/listen/web_user.c

src_libnet_a_SOURCES = \
	src/net/abandon.c src/net/abandon.h \
	src/net/conn.c src/net/conn.h \
	src/net/frontend.h \
	src/net/lane.c src/net/lane.h src/net/lane_impl.h \
	src/net/loop.c src/net/loop.h src/net/loop_epoll.c \
	src/net/peer.c src/net/peer.h \
	src/net/refusal.c src/net/refusal.h \
	src/net/request_log.c src/net/request_log.h \
	src/net/wait.h \
	src/net/who.c src/net/who.h

src_libnetfcgi_a_SOURCES = \
	src/net/fcgi/answer.c src/net/fcgi/answer.h \
	src/net/fcgi/conn.c src/net/fcgi/conn.h \
	src/net/fcgi/request.c src/net/fcgi/request.h

if HTTP
noinst_LIBRARIES += src/libnethttp.a
NET_HTTP_LIBS = src/libnethttp.a
src_libnethttp_a_SOURCES = \
	src/net/http/answer.c src/net/http/answer.h \
	src/net/http/conn.c src/net/http/conn.h \
	src/net/http/pace.c src/net/http/pace.h \
	src/net/http/peer.c src/net/http/peer.h \
	src/net/http/request.c src/net/http/request.h
endif

src_libcli_a_SOURCES = \
	src/cli/foreign.c src/cli/foreign.h \
	src/cli/help.c src/cli/help.h \
	src/cli/options.c src/cli/options.h \
	src/cli/value.c src/cli/value.h

# The only files that can include Python.h.
PYTHON_LAYER_CPPFLAGS = $(AM_CPPFLAGS) $(PYTHON_CPPFLAGS)
src_libpy_a_CPPFLAGS = $(PYTHON_LAYER_CPPFLAGS)
src_libpy_a_SOURCES = \
	src/python/child.c src/python/child.h \
	src/python/compat.h \
	src/python/end_calls.c src/python/end_calls.h \
	src/python/errors.c src/python/errors.h \
	src/python/interp.c src/python/interp.h \
	src/python/interrupt.c src/python/interrupt.h \
	src/python/names.c src/python/names.h \
	src/python/pending.c src/python/pending.h \
	src/python/pysignal.c src/python/pysignal.h \
	src/python/thread.c src/python/thread.h \
	src/python/venv.c src/python/venv.h

src_libpyapp_a_CPPFLAGS = $(PYTHON_LAYER_CPPFLAGS)
src_libpyapp_a_SOURCES = \
	src/python/app/app.c src/python/app/app.h \
	src/python/app/frozen.c src/python/app/frozen.h \
	src/python/app/load_watch.c src/python/app/load_watch.h \
	src/python/app/text.c src/python/app/text.h
# What of it is written in Python, as strings of C.
FROZEN = src/python/app/finding.py src/python/app/diagnosis.py
nodist_src_libpyapp_a_SOURCES = src/python/app/frozen_text.c
EXTRA_DIST += $(FROZEN)
CLEANFILES += src/python/app/frozen_text.c
src/python/app/frozen_text.c: $(FROZEN)
	$(AM_V_GEN)$(MKDIR_P) $(@D) && for file in $(FROZEN); do \
		echo "extern const unsigned char frozen_$$(basename $$file .py)_text[];" && \
		echo "const unsigned char frozen_$$(basename $$file .py)_text[] = {" && \
		od -A n -t x1 -v "$(srcdir)/$$file" | sed 's/[0-9a-f][0-9a-f]/0x&,/g' && echo '0};' || exit 1; \
	done >$@.new && mv $@.new $@

src_libpywsgi_a_CPPFLAGS = $(PYTHON_LAYER_CPPFLAGS)
src_libpywsgi_a_SOURCES = \
	src/python/wsgi/call.c src/python/wsgi/call.h \
	src/python/wsgi/environ.c src/python/wsgi/environ.h \
	src/python/wsgi/file_wrapper.c src/python/wsgi/file_wrapper.h \
	src/python/wsgi/input.c \
	src/python/wsgi/plan.c src/python/wsgi/plan.h \
	src/python/wsgi/spare.h \
	src/python/wsgi/start_response.c \
	src/python/wsgi/wsgi.c src/python/wsgi/wsgi.h

src_libprocess_a_SOURCES = \
	src/process/ends.c src/process/ends.h \
	src/process/listen.c src/process/listen.h \
	src/process/orphans.c src/process/orphans.h \
	src/process/serve.c src/process/serve.h \
	src/process/signals.c src/process/signals.h \
	src/process/standard_files.c src/process/standard_files.h

# What a program of each layer links, from the top down.
BASE_LIBS = src/libbase.a
PROTO_LIBS = src/libproto.a $(HTTP_LIBS)
REQUEST_LIBS = src/librequest.a src/libsched.a $(PROTO_LIBS) $(BASE_LIBS) $(EV_LIBS)
SCHED_LIBS = src/libsched.a $(BASE_LIBS) $(EV_LIBS)
CLI_LIBS = src/libcli.a $(BASE_LIBS)
LISTEN_LIBS = src/liblisten.a $(BASE_LIBS) $(FASTCGI_LIBS)
# The lane names both front ends, and these call it.
NET_LIBS = src/libnet.a src/libnetfcgi.a $(NET_HTTP_LIBS) src/libnet.a src/liblisten.a src/librequest.a src/libsched.a $(PROTO_LIBS) $(BASE_LIBS) $(EV_LIBS) $(FASTCGI_LIBS)

PYAPP_LIBS = src/libpywsgi.a src/libpyapp.a src/libpy.a src/libpywsgi.a

bin_PROGRAMS += wsgi-fcgi
wsgi_fcgi_SOURCES = src/main.c
wsgi_fcgi_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=epoll_ctl
wsgi_fcgi_LDADD = src/libprocess.a $(PYAPP_LIBS) src/libcli.a $(NET_LIBS) $(PYTHON_LIBS)
