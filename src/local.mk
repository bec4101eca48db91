# One library per folder. A folder is a layer: dependencies point downward only, and the link lines below say which.

noinst_LIBRARIES += \
	src/libbase.a src/libipc.a src/libstatus.a src/libtraces.a src/libproto.a src/librequest.a src/libsched.a src/liblisten.a src/libnet.a src/libnetfcgi.a \
	src/libcli.a src/libpy.a src/libpyapp.a src/libpywsgi.a src/libprocess.a src/libsupervisor.a

src_libbase_a_SOURCES = \
	src/base/ascii.c src/base/ascii.h \
	src/base/buf.c src/base/buf.h \
	src/base/cgroup.c src/base/cgroup.h \
	src/base/clock.h src/base/pread.h \
	src/base/date.h src/base/decimal_text.h \
	src/base/descriptors.c src/base/descriptors.h \
	src/base/error_destinations.h \
	src/base/fdtable.c src/base/fdtable.h \
	src/base/glob.c src/base/glob.h \
	src/base/hash.c src/base/hash.h \
	src/base/json.c src/base/json.h \
	src/base/line_writer.c src/base/line_writer.h \
	src/base/log.c src/base/log.h \
	src/base/log_file.c src/base/log_file.h \
	src/base/log_limit.c src/base/log_limit.h \
	src/base/log_writer.c src/base/log_writer.h \
	src/base/notify.c src/base/notify.h \
	src/base/path.c src/base/path.h \
	src/base/probes.h \
	src/base/own_memory.c src/base/own_memory.h \
	src/base/process_memory.c src/base/process_memory.h \
	src/base/sealed_file.c src/base/sealed_file.h \
	src/base/text_line.c src/base/text_line.h \
	src/base/thread_create.c src/base/thread_create.h src/base/thread_limit.c src/base/thread_limit.h \
	src/base/trusted_open.c src/base/trusted_open.h \
	src/base/utf8.h \
	src/base/write_all.c src/base/write_all.h

src_libipc_a_SOURCES = \
	src/ipc/control.c src/ipc/control.h \
	src/ipc/fd_socket.c src/ipc/fd_socket.h \
	src/ipc/inspect.c src/ipc/inspect.h \
	src/ipc/log_ring.c src/ipc/log_ring.h \
	src/ipc/metrics.c src/ipc/metrics.h \
	src/ipc/metrics_read.c src/ipc/metrics_read.h \
	src/ipc/scoreboard.c src/ipc/scoreboard.h \
	src/ipc/shared_memory.c src/ipc/shared_memory.h

# What is shown of it all: neither Python nor a loop.
src_libstatus_a_SOURCES = \
	src/status/choose.c \
	src/status/families.c src/status/families.h \
	src/status/form_html.c src/status/form_json.c src/status/form_openmetrics.c src/status/form_text.c src/status/forms.h \
	src/status/health.c src/status/health.h \
	src/status/notes.c \
	src/status/page.h \
	src/status/snapshot.c src/status/snapshot.h \
	src/status/status.c src/status/status.h \
	src/status/words.c src/status/words.h
nodist_src_libstatus_a_SOURCES = src/status/page_text.c
EXTRA_DIST += src/status/page.html src/status/embed.py
CLEANFILES += src/status/page_text.c
src/status/page_text.c: src/status/page.html src/status/embed.py
	$(AM_V_GEN)$(MKDIR_P) $(@D) && $(PYTHON_EXECUTABLE) -B '$(srcdir)/src/status/embed.py' '$(srcdir)/src/status/page.html' \
		>$@.new && mv $@.new $@

# Loads libcurl.
src_libtraces_a_SOURCES = \
	src/traces/curl.c src/traces/curl.h \
	src/traces/otlp.c src/traces/otlp.h \
	src/traces/sender.c src/traces/sender.h \
	src/traces/settings.c src/traces/settings.h \
	src/traces/spans.c src/traces/spans.h

# Needs nothing but libc, and llhttp. Of base/ it uses what is inline and pure, in ascii.h and hash.h.
src_libproto_a_CFLAGS = $(AM_CFLAGS) -Wconversion
src_libproto_a_SOURCES = \
	src/proto/access_format.c src/proto/access_format.h \
	src/proto/cgi.c src/proto/cgi.h \
	src/proto/cgi_memo.c src/proto/cgi_memo.h \
	src/proto/cgi_names.c src/proto/cgi_names.h \
	src/proto/cgi_paths.c src/proto/cgi_paths.h \
	src/proto/cgi_rules.c src/proto/cgi_rules.h \
	src/proto/decimal.h \
	src/proto/fcgi_answer.c src/proto/fcgi_answer.h \
	src/proto/fcgi_decode.c src/proto/fcgi_decode.h \
	src/proto/fcgi_encode.c src/proto/fcgi_encode.h \
	src/proto/fcgi_values.c src/proto/fcgi_values.h \
	src/proto/forwarded.c src/proto/forwarded.h \
	src/proto/handover.c src/proto/handover.h \
	src/proto/http_encode.c src/proto/http_encode.h \
	src/proto/http_target.c src/proto/http_target.h \
	src/proto/params.c src/proto/params.h \
	src/proto/request_id.c src/proto/request_id.h \
	src/proto/status_head.c src/proto/status_head.h \
	src/proto/trace_context.c src/proto/trace_context.h
if HTTP
src_libproto_a_SOURCES += \
	src/proto/http_body.c src/proto/http_body.h \
	src/proto/http_head.c src/proto/http_head.h \
	src/proto/http_lines.c src/proto/http_lines.h \
	src/proto/http_token.c src/proto/http_token.h \
	src/proto/proxy_header.c src/proto/proxy_header.h
endif

# Libraries of others, of which extensions of the application must not find anything: archives, or loaded by src/dl.
EV_LIBS = $(PRIVATE_EV_LIBS)
FASTCGI_LIBS = $(PRIVATE_FCGI_LIBS)
HTTP_LIBS = $(PRIVATE_LLHTTP_LIBS)
INI_LIBS = $(PRIVATE_INIH_LIBS)
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
if LOAD_INIH
noinst_LIBRARIES += src/libloadinih.a
src_libloadinih_a_SOURCES = src/dl/inih.c
INI_LIBS += src/libloadinih.a src/libdl.a
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
	src/sched/baton.c src/sched/caught.c src/sched/follow.c src/sched/hold.c src/sched/job.c src/sched/lost.c src/sched/measure.c src/sched/post.c \
	src/sched/owner.c src/sched/peer_wait.c src/sched/queue.c src/sched/retire.c src/sched/threads.c src/sched/watch.c \
	src/sched/backlog.c src/sched/backlog.h \
	src/sched/predict.c src/sched/predict.h \
	src/sched/sched.c src/sched/sched.h src/sched/sched_impl.h \
	src/sched/taskstat.c src/sched/taskstat.h

src_liblisten_a_SOURCES = \
	src/net/listen/allow.c src/net/listen/allow.h \
	src/net/listen/address.c src/net/listen/address.h \
	src/net/listen/address_set.c src/net/listen/address_set.h \
	src/net/listen/id.h \
	src/net/listen/listener.c src/net/listen/listener.h \
	src/net/listen/socket_file.c src/net/listen/socket_file.h \
	src/net/listen/web_user.c

src_libnet_a_SOURCES = \
	src/net/abandon.c src/net/abandon.h \
	src/net/accept.c \
	src/net/access_log.c src/net/access_log.h \
	src/net/access_text.c src/net/access_text.h \
	src/net/calls.c src/net/calls.h \
	src/net/conn.c src/net/conn.h src/net/conn_impl.h \
	src/net/conn_linger.c src/net/conn_out.c src/net/conn_rate.c src/net/conn_transmit.c \
	src/net/count.c src/net/count.h \
	src/net/deadline.c src/net/deadline.h \
	src/net/exchange.c src/net/exchange.h \
	src/net/handover.c src/net/handover.h src/net/handover_impl.h src/net/handover_take.c \
	src/net/idle.c \
	src/net/lane.c src/net/lane.h src/net/lane_config.h src/net/lane_impl.h \
	src/net/level.c src/net/level.h \
	src/net/loop.c src/net/loop.h src/net/loop_epoll.c \
	src/net/peer.c src/net/peer.h \
	src/net/free_list.h \
	src/net/overload.c src/net/overload.h \
	src/net/protocol.h \
	src/net/refusal.c src/net/refusal.h \
	src/net/request_log.c src/net/request_log.h \
	src/net/retire.c \
	src/net/running.c src/net/running.h \
	src/net/status_page.c src/net/status_page.h \
	src/net/status_path.c src/net/status_path.h \
	src/net/status_server.c src/net/status_server.h \
	src/net/slow.c src/net/slow.h \
	src/net/stop.c \
	src/net/timeout_list.c src/net/timeout_list.h \
	src/net/traces.c src/net/traces.h \
	src/net/who.c src/net/who.h

src_libnetfcgi_a_SOURCES = \
	src/net/fcgi/answer.c src/net/fcgi/answer.h \
	src/net/fcgi/conn.c src/net/fcgi/conn.h \
	src/net/fcgi/input.c src/net/fcgi/input.h \
	src/net/fcgi/peer.c src/net/fcgi/peer.h \
	src/net/fcgi/protocol.c src/net/fcgi/protocol.h \
	src/net/fcgi/request.c src/net/fcgi/request.h \
	src/net/fcgi/stall.c src/net/fcgi/stall.h

if HTTP
noinst_LIBRARIES += src/libnethttp.a
NET_HTTP_LIBS = src/libnethttp.a
src_libnethttp_a_SOURCES = \
	src/net/http/answer.c src/net/http/answer.h \
	src/net/http/conn.c src/net/http/conn.h \
	src/net/http/input.c src/net/http/input.h \
	src/net/http/pace.c src/net/http/pace.h \
	src/net/http/peer.c src/net/http/peer.h \
	src/net/http/protocol.c src/net/http/protocol.h \
	src/net/http/request.c src/net/http/request.h
endif

src_libcli_a_SOURCES = \
	src/cli/command_line.c src/cli/command_line.h \
	src/cli/config_file.c src/cli/config_file.h \
	src/cli/configuration.c src/cli/configuration.h \
	src/cli/environment.c src/cli/environment.h \
	src/cli/ini_file.c src/cli/ini_file.h \
	src/cli/nearest.c src/cli/nearest.h \
	src/cli/print_config.c src/cli/print_config.h \
	src/cli/quote.c src/cli/quote.h \
	src/cli/other_servers.c src/cli/other_servers.h \
	src/cli/help.c src/cli/help.h \
	src/cli/option_table.c src/cli/option_table.h \
	src/cli/options.c src/cli/options.h \
	src/cli/settings.c src/cli/settings.h \
	src/cli/value.c src/cli/value.h

# The only files that can include Python.h.
PYTHON_LAYER_CPPFLAGS = $(AM_CPPFLAGS) $(PYTHON_CPPFLAGS)
src_libpy_a_CPPFLAGS = $(PYTHON_LAYER_CPPFLAGS)
src_libpy_a_SOURCES = \
	src/python/allocations.c src/python/allocations.h \
	src/python/async_exc.c src/python/async_exc.h \
	src/python/bytecode.c src/python/bytecode.h \
	src/python/child.c src/python/child.h \
	src/python/compat.h \
	src/python/error_lines.c src/python/error_lines.h \
	src/python/exit_calls.c src/python/exit_calls.h \
	src/python/interp.c src/python/interp.h \
	src/python/interp_adopt.c src/python/interp_start.c src/python/interp_start.h \
	src/python/interrupt.c src/python/interrupt.h \
	src/python/interrupt_aim.c src/python/interrupt_aim.h \
	src/python/load_interrupt.c src/python/load_interrupt.h \
	src/python/module.c src/python/module.h \
	src/python/name_cache.c src/python/name_cache.h \
	src/python/pending_calls.c src/python/pending_calls.h \
	src/python/preload.c src/python/preload.h \
	src/python/pyapp.h \
	src/python/report.c src/python/report.h \
	src/python/running.c src/python/running.h \
	src/python/signal_handlers.c src/python/signal_handlers.h \
	src/python/spare.h \
	src/python/stack.c src/python/stack.h \
	src/python/stack_ask.c src/python/stack_ask.h src/python/stack_fallback.c src/python/stack_fallback.h \
	src/python/stack_check.c src/python/stack_check.h \
	src/python/stack_doing.c src/python/stack_doing.h \
	src/python/stack_layout.c src/python/stack_layout.h \
	src/python/stack_walk.c src/python/stack_walk.h \
	src/python/switch_interval.c src/python/switch_interval.h \
	src/python/thread.c src/python/thread.h \
	src/python/venv.c src/python/venv.h

src_libpyapp_a_CPPFLAGS = $(PYTHON_LAYER_CPPFLAGS)
src_libpyapp_a_SOURCES = \
	src/python/app/app.c src/python/app/app.h \
	src/python/app/ask.c src/python/app/ask.h \
	src/python/app/frozen.c src/python/app/frozen.h \
	src/python/app/loaded_files.c src/python/app/loaded_files.h \
	src/python/app/slow_load.c src/python/app/slow_load.h \
	src/python/app/spec.c src/python/app/spec.h \
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
	src/python/wsgi/broken.c src/python/wsgi/broken.h \
	src/python/wsgi/call.c src/python/wsgi/call.h \
	src/python/wsgi/callables.c src/python/wsgi/callables.h \
	src/python/wsgi/environ.c src/python/wsgi/environ.h \
	src/python/wsgi/errors.c src/python/wsgi/errors.h \
	src/python/wsgi/failure.c src/python/wsgi/failure.h \
	src/python/wsgi/file_sending.c src/python/wsgi/file_sending.h \
	src/python/wsgi/file_wrapper.c src/python/wsgi/file_wrapper.h \
	src/python/wsgi/input.c src/python/wsgi/input.h \
	src/python/wsgi/plan.c src/python/wsgi/plan.h \
	src/python/wsgi/result.c src/python/wsgi/result.h \
	src/python/wsgi/start_response.c src/python/wsgi/start_response.h \
	src/python/wsgi/stream.c src/python/wsgi/stream.h \
	src/python/wsgi/wsgi.c src/python/wsgi/wsgi.h

# No Python: the program that it is for keeps within 2 MiB.
src_libsupervisor_a_SOURCES = \
	src/supervisor/calls.c src/supervisor/calls.h \
	src/supervisor/count.c src/supervisor/count.h \
	src/supervisor/cpus.c src/supervisor/cpus.h \
	src/supervisor/file_globs.c src/supervisor/file_globs.h \
	src/supervisor/file_set.c src/supervisor/file_set.h \
	src/supervisor/file_watch.c src/supervisor/file_watch.h \
	src/supervisor/files.c src/supervisor/files.h \
	src/supervisor/look.c \
	src/supervisor/memory.c src/supervisor/memory.h \
	src/supervisor/page.c src/supervisor/page.h \
	src/supervisor/command.c src/supervisor/command.h \
	src/supervisor/generations.c src/supervisor/generations.h \
	src/supervisor/reload.c src/supervisor/reload.h \
	src/supervisor/reload_config.c src/supervisor/reload_config.h \
	src/supervisor/slices.c src/supervisor/slices.h \
	src/supervisor/spawn.c src/supervisor/spawn.h \
	src/supervisor/state.c src/supervisor/state.h \
	src/supervisor/supervisor.c src/supervisor/supervisor.h \
	src/supervisor/status.c src/supervisor/status.h \
	src/supervisor/take_signals.c src/supervisor/take_signals.h \
	src/supervisor/tell.c src/supervisor/tell.h \
	src/supervisor/workers.c src/supervisor/workers.h \
	src/supervisor/zygotes.c src/supervisor/zygotes.h

src_libprocess_a_CPPFLAGS = $(AM_CPPFLAGS) -DLIBEXECDIR='"$(libexecdir)"'
src_libprocess_a_SOURCES = \
	src/process/access_output.c src/process/access_output.h \
	src/process/activation.c src/process/activation.h \
	src/process/inspector.c src/process/inspector.h \
	src/process/leave.c src/process/leave.h \
	src/process/pid_file.c src/process/pid_file.h \
	src/process/program.c src/process/program.h \
	src/process/title.c src/process/title.h \
	src/process/user.c src/process/user.h \
	src/process/directories.c src/process/directories.h \
	src/process/ends.c src/process/ends.h \
	src/process/exit_timer.c src/process/exit_timer.h \
	src/process/log_output.c src/process/log_output.h \
	src/process/lost_calls.c src/process/lost_calls.h \
	src/process/main_thread.c src/process/main_thread.h \
	src/process/memory_growth.c src/process/memory_growth.h \
	src/process/memory_trace.c src/process/memory_trace.h \
	src/process/open_files.c src/process/open_files.h \
	src/process/orphans.c src/process/orphans.h \
	src/process/development.c src/process/development.h \
	src/process/run.c src/process/run.h \
	src/process/running_log.c src/process/running_log.h \
	src/process/serve.c src/process/serve.h \
	src/process/show.c src/process/show.h \
	src/process/signals.c src/process/signals.h \
	src/process/sockets.c src/process/sockets.h \
	src/process/standard_files.c src/process/standard_files.h \
	src/process/status.c src/process/status.h \
	src/process/supervise.c src/process/supervise.h \
	src/process/terminal.c src/process/terminal.h \
	src/process/warm_up.c src/process/warm_up.h \
	src/process/watchdog.c src/process/watchdog.h \
	src/process/watch_thread.c src/process/watch_thread.h \
	src/process/worker.c src/process/worker.h \
	src/process/otlp.c src/process/otlp.h \
	src/process/zygote.c src/process/zygote.h

# What a program of each layer links, from the top down.
BASE_LIBS = src/libbase.a
IPC_LIBS = src/libipc.a $(BASE_LIBS)
STATUS_LIBS = src/libstatus.a $(IPC_LIBS)
PROTO_LIBS = src/libproto.a $(HTTP_LIBS)
REQUEST_LIBS = src/librequest.a src/libsched.a $(PROTO_LIBS) $(BASE_LIBS) $(EV_LIBS)
SCHED_LIBS = src/libsched.a $(BASE_LIBS) $(EV_LIBS)
TRACES_LIBS = src/libtraces.a $(PROTO_LIBS) $(BASE_LIBS)
CLI_LIBS = src/libcli.a src/libtraces.a $(BASE_LIBS) $(INI_LIBS)
LISTEN_LIBS = src/liblisten.a $(BASE_LIBS) $(FASTCGI_LIBS)
NET_LIBS = src/libnet.a src/liblisten.a src/librequest.a src/libsched.a src/libtraces.a $(PROTO_LIBS) $(STATUS_LIBS) $(EV_LIBS) $(FASTCGI_LIBS)
SUPERVISOR_LIBS = src/libsupervisor.a src/libprocess.a src/libcli.a $(NET_LIBS) $(INI_LIBS)
FRONT_LIBS = src/libnetfcgi.a $(NET_HTTP_LIBS) $(NET_LIBS)

PYAPP_LIBS = src/libpywsgi.a src/libpyapp.a src/libpy.a

# What a program needs that has a Python.
if STATIC_PYTHON
# Of the archive, all is for extensions to find, but Py_AddPendingCall, of which they shall find the server's
# (src/python/pending_calls.h). The module `select` in it calls epoll_ctl(2) itself, and not what libev calls (--wrap).
PYTHON_WRAP = -Wl,--wrap=epoll_ctl
PYTHON_WRAP_LIBS = src/libnet.a $(BASE_LIBS)
PYTHON_COPY = src/python/libpython.a
CLEANFILES += $(PYTHON_COPY)
$(PYTHON_COPY): $(PYTHON_ARCHIVE)
	$(AM_V_GEN)$(MKDIR_P) $(@D) && $(OBJCOPY) --redefine-sym Py_AddPendingCall=WsgiFcgi_AddPendingCall \
		--redefine-sym epoll_ctl=__real_epoll_ctl '$(PYTHON_ARCHIVE)' $@.new && mv $@.new $@
else
PYTHON_WRAP =
PYTHON_WRAP_LIBS =
PYTHON_COPY =
endif

SERVER_LIBS = src/libprocess.a $(PYAPP_LIBS) src/libcli.a $(FRONT_LIBS) $(INI_LIBS)
if EXTENSION
# A package to import, which is put together in the build directory, and the program that runs that. automake makes
# shared libraries only together with libtool; a name that it knows is put in the place of the one that Python wants.
PACKAGE_DIR = wsgi_fcgi
PACKAGE_FILES = src/package/wsgi_fcgi/__init__.py src/package/wsgi_fcgi/__init__.pyi src/package/wsgi_fcgi/__main__.py \
	src/package/wsgi_fcgi/_command.py src/package/wsgi_fcgi/_elsewhere.py src/package/wsgi_fcgi/_top.py \
	src/package/wsgi_fcgi/py.typed
PACKAGE_SUPERVISOR = $(PACKAGE_DIR)/wsgi-fcgi-supervisor$(EXEEXT)
MODULE = $(PACKAGE_DIR)/_server$(PYTHON_EXT_SUFFIX)
noinst_PROGRAMS += src/extension/_server.so wsgi_fcgi/wsgi-fcgi-supervisor
src_extension__server_so_CPPFLAGS = $(PYTHON_LAYER_CPPFLAGS)
src_extension__server_so_SOURCES = src/extension/archives.c src/extension/module.c
src_extension__server_so_LDFLAGS = -shared -pthread $(HARDEN_LDFLAGS) $(HIDE_LDFLAGS) $(INSTRUMENT_CFLAGS) \
	-Wl,--wrap=epoll_ctl -Wl,--wrap=stderr
src_extension__server_so_LDADD = $(SERVER_LIBS)
wsgi_fcgi_wsgi_fcgi_supervisor_SOURCES = src/supervisor/main.c
wsgi_fcgi_wsgi_fcgi_supervisor_LDADD = $(SUPERVISOR_LIBS)

all-local: $(MODULE) $(PACKAGE_DIR)/__init__.py wsgi-fcgi
$(MODULE): src/extension/_server.so$(EXEEXT)
	$(AM_V_GEN)cp src/extension/_server.so$(EXEEXT) $@.new && mv $@.new $@
$(PACKAGE_DIR)/__init__.py: $(PACKAGE_FILES) Makefile
	$(AM_V_GEN)$(MKDIR_P) $(PACKAGE_DIR) && for file in $(PACKAGE_FILES); do \
		cp "$(srcdir)/$$file" $(PACKAGE_DIR)/ || exit 1; done && touch $@
wsgi-fcgi: Makefile
	$(AM_V_GEN){ echo '#!$(PYTHON_EXECUTABLE)' && echo 'import sys' && \
		echo 'if __name__ == "__main__":' && echo '    sys.path.insert(0, "$(abs_builddir)")' && \
		echo '    from wsgi_fcgi.__main__ import main' && echo '    del sys.path[0]' && \
		echo '    sys.exit(main())'; } >$@.new && chmod +x $@.new && mv $@.new $@
clean-local:
	rm -rf $(PACKAGE_DIR) wsgi-fcgi
SUPERVISOR_PROGRAM = $(PACKAGE_SUPERVISOR) $(MODULE) $(PACKAGE_DIR)/__init__.py
else
bin_PROGRAMS += wsgi-fcgi
wsgi_fcgi_SOURCES = src/main.c
wsgi_fcgi_LDFLAGS = $(AM_LDFLAGS) $(PYTHON_WRAP) -Wl,--wrap=epoll_ctl
wsgi_fcgi_LDADD = $(SERVER_LIBS) $(PYTHON_LIBS)
EXTRA_wsgi_fcgi_DEPENDENCIES = $(PYTHON_COPY)

# Of process/ it takes what needs no Python: a link without PYTHON_LIBS makes sure.
libexec_PROGRAMS += wsgi-fcgi-supervisor
wsgi_fcgi_supervisor_SOURCES = src/supervisor/main.c
wsgi_fcgi_supervisor_LDADD = $(SUPERVISOR_LIBS)
SUPERVISOR_PROGRAM = wsgi-fcgi-supervisor$(EXEEXT)
endif
EXTRA_DIST += src/package

# What an operator looks with: a program of its own, which links nothing of the server but codecs.
if TOP
TOP_PROGRAM = wsgi-fcgi-top$(EXEEXT)
bin_PROGRAMS += wsgi-fcgi-top
noinst_LIBRARIES += src/libtop.a
src_libtop_a_CFLAGS = $(AM_CFLAGS) $(CURSES_CFLAGS) $(JANSSON_CFLAGS)
src_libtop_a_SOURCES = \
	src/top/doc.c src/top/doc.h \
	src/top/fetch.c src/top/fetch.h \
	src/top/live.c src/top/live.h \
	src/top/number.c src/top/number.h \
	src/top/options.c src/top/options.h \
	src/top/page.c src/top/page.h \
	src/top/reply.c src/top/reply.h \
	src/top/target.c src/top/target.h \
	src/top/view.c src/top/view.h
wsgi_fcgi_top_CFLAGS = $(src_libtop_a_CFLAGS)
wsgi_fcgi_top_SOURCES = src/top/main.c
TOP_LIBS = src/libtop.a $(PROTO_LIBS) $(BASE_LIBS) $(JANSSON_LIBS) $(CURSES_LIBS)
wsgi_fcgi_top_LDADD = $(TOP_LIBS)
man_MANS += man/wsgi-fcgi-top.1
endif
EXTRA_DIST += man/wsgi-fcgi-top.1

# Both, for what starts servers.
SERVER = wsgi-fcgi$(EXEEXT) $(SUPERVISOR_PROGRAM)
