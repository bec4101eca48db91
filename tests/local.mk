# Unit tests: each program links the layer of its module and nothing above.

UNIT_BASE = tests/unit/base/test_ascii tests/unit/base/test_buf tests/unit/base/test_decimal_text tests/unit/base/test_descriptors tests/unit/base/test_glob \
	tests/unit/base/test_hash tests/unit/base/test_json tests/unit/base/test_line_writer tests/unit/base/test_log tests/unit/base/test_log_file tests/unit/base/test_log_limit \
	tests/unit/base/test_own_memory tests/unit/base/test_path tests/unit/base/test_thread_limit \
	tests/unit/base/test_trusted_open
UNIT_IPC = tests/unit/ipc/test_control tests/unit/ipc/test_fd_socket tests/unit/ipc/test_inspect tests/unit/ipc/test_log_ring \
	tests/unit/ipc/test_metrics tests/unit/ipc/test_scoreboard
UNIT_STATUS = tests/unit/status/test_choose tests/unit/status/test_forms tests/unit/status/test_health \
	tests/unit/status/test_snapshot
UNIT_PROTO = tests/unit/proto/test_access_format \
	tests/unit/proto/test_cgi tests/unit/proto/test_fcgi_answer tests/unit/proto/test_fcgi_decode \
	tests/unit/proto/test_fcgi_encode tests/unit/proto/test_fcgi_values tests/unit/proto/test_forwarded \
	tests/unit/proto/test_handover tests/unit/proto/test_http_target \
	tests/unit/proto/test_params tests/unit/proto/test_request_id tests/unit/proto/test_status_head \
	tests/unit/proto/test_trace_context
if HTTP
UNIT_PROTO += tests/unit/proto/test_http_body tests/unit/proto/test_http_encode tests/unit/proto/test_http_head \
	tests/unit/proto/test_http_framing tests/unit/proto/test_http_lines tests/unit/proto/test_proxy_header
endif
UNIT_REQUEST = tests/unit/request/test_answer tests/unit/request/test_body tests/unit/request/test_body_memory \
	tests/unit/request/test_request
UNIT_SCHED = tests/unit/sched/test_backlog tests/unit/sched/test_backlog_sim tests/unit/sched/test_baton \
	tests/unit/sched/test_caught \
	tests/unit/sched/test_free tests/unit/sched/test_hold tests/unit/sched/test_job tests/unit/sched/test_lent \
	tests/unit/sched/test_lines tests/unit/sched/test_lost tests/unit/sched/test_measure tests/unit/sched/test_post \
	tests/unit/sched/test_owner \
	tests/unit/sched/test_peer_wait tests/unit/sched/test_predict tests/unit/sched/test_queue \
	tests/unit/sched/test_refuse tests/unit/sched/test_retire tests/unit/sched/test_run_loop tests/unit/sched/test_sched \
	tests/unit/sched/test_share tests/unit/sched/test_taskstat \
	tests/unit/sched/test_threads tests/unit/sched/test_watch
UNIT_TRACES = tests/unit/traces/test_settings tests/unit/traces/test_spans
UNIT_CLI = tests/unit/cli/test_environment tests/unit/cli/test_options tests/unit/cli/test_settings
UNIT_LISTEN = tests/unit/net/listen/test_address tests/unit/net/listen/test_address_set \
	tests/unit/net/listen/test_allow \
	tests/unit/net/listen/test_listener tests/unit/net/listen/test_socket_file
UNIT_NET = tests/unit/net/test_access_text tests/unit/net/test_calls tests/unit/net/test_conn_out tests/unit/net/test_conn_rate \
	tests/unit/net/test_conn_transmit tests/unit/net/test_deadline tests/unit/net/test_handover tests/unit/net/test_handover_threads tests/unit/net/test_level tests/unit/net/test_status_server \
	tests/unit/net/fcgi/test_count tests/unit/net/fcgi/test_early tests/unit/net/fcgi/test_files \
	tests/unit/net/fcgi/test_outcome tests/unit/net/fcgi/test_peer
if HTTP
UNIT_NET += tests/unit/net/http/test_ends tests/unit/net/http/test_outcome
endif
if EXTENSION
# No program of such a build has a Python in it: tests/daemon runs the whole.
UNIT_PY =
else
UNIT_PY = tests/unit/python/test_interrupt tests/unit/python/test_name_cache tests/unit/python/test_report \
	tests/unit/python/test_stack tests/unit/python/test_stack_torture
endif
UNIT_PROCESS = tests/unit/process/test_memory_growth tests/unit/process/test_title
UNIT_SUPERVISOR = tests/unit/supervisor/test_cpus tests/unit/supervisor/test_file_globs \
	tests/unit/supervisor/test_file_set tests/unit/supervisor/test_state
UNIT_BENCH = tests/unit/bench/test_histogram
if TOP
UNIT_TOP = tests/unit/top/test_reply
else
UNIT_TOP =
endif
UNIT_TESTS = $(UNIT_BASE) $(UNIT_IPC) $(UNIT_STATUS) $(UNIT_PROTO) $(UNIT_REQUEST) $(UNIT_SCHED) $(UNIT_TRACES) $(UNIT_CLI) $(UNIT_LISTEN) $(UNIT_NET) \
	$(UNIT_PY) $(UNIT_PROCESS) $(UNIT_SUPERVISOR) $(UNIT_BENCH) $(UNIT_TOP)

FILE_RIG_WRAP = -Wl,--wrap=descriptors_close,--wrap=pwrite,--wrap=sched_pause

tests_unit_top_test_reply_LDADD = $(TOP_LIBS) $(CHECK_LIBS)
tests_unit_base_test_ascii_LDADD = $(BASE_LIBS) $(CHECK_LIBS)
tests_unit_base_test_buf_LDADD = $(BASE_LIBS) $(CHECK_LIBS)
tests_unit_base_test_decimal_text_LDADD = $(BASE_LIBS) $(CHECK_LIBS)
tests_unit_base_test_descriptors_LDADD = $(BASE_LIBS) $(CHECK_LIBS)
tests_unit_base_test_glob_LDADD = $(BASE_LIBS) $(CHECK_LIBS)
tests_unit_base_test_hash_LDADD = $(BASE_LIBS) $(CHECK_LIBS)
tests_unit_base_test_json_LDADD = $(BASE_LIBS) $(CHECK_LIBS)
tests_unit_base_test_line_writer_LDADD = $(BASE_LIBS) $(CHECK_LIBS)
tests_unit_base_test_log_LDADD = $(BASE_LIBS) $(CHECK_LIBS)
tests_unit_base_test_own_memory_LDADD = $(BASE_LIBS) $(CHECK_LIBS)
tests_unit_base_test_path_LDADD = $(BASE_LIBS) $(CHECK_LIBS)
tests_unit_base_test_thread_limit_LDADD = $(BASE_LIBS) $(CHECK_LIBS)
tests_unit_base_test_trusted_open_LDADD = $(BASE_LIBS) $(CHECK_LIBS)
tests_unit_base_test_log_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=clock_gettime
tests_unit_base_test_log_file_LDADD = $(BASE_LIBS) $(CHECK_LIBS)
tests_unit_base_test_log_limit_LDADD = $(BASE_LIBS) $(CHECK_LIBS)
tests_unit_ipc_test_control_LDADD = $(IPC_LIBS) $(CHECK_LIBS)
tests_unit_ipc_test_fd_socket_LDADD = $(IPC_LIBS) $(CHECK_LIBS)
tests_unit_ipc_test_inspect_LDADD = $(IPC_LIBS) $(CHECK_LIBS)
tests_unit_ipc_test_log_ring_LDADD = $(IPC_LIBS) $(CHECK_LIBS)
tests_unit_ipc_test_metrics_LDADD = $(IPC_LIBS) $(CHECK_LIBS)
tests_unit_ipc_test_scoreboard_LDADD = $(IPC_LIBS) $(CHECK_LIBS)
tests_unit_status_test_choose_LDADD = $(STATUS_LIBS) $(CHECK_LIBS)
tests_unit_status_test_forms_LDADD = $(STATUS_LIBS) $(CHECK_LIBS)
tests_unit_status_test_health_LDADD = $(STATUS_LIBS) $(CHECK_LIBS)
tests_unit_status_test_snapshot_LDADD = $(STATUS_LIBS) $(CHECK_LIBS)
tests_unit_proto_test_access_format_LDADD = $(PROTO_LIBS) $(CHECK_LIBS)
tests_unit_proto_test_cgi_LDADD = $(PROTO_LIBS) $(CHECK_LIBS)
tests_unit_proto_test_fcgi_decode_LDADD = $(PROTO_LIBS) $(CHECK_LIBS)
tests_unit_proto_test_fcgi_answer_LDADD = $(PROTO_LIBS) $(CHECK_LIBS)
tests_unit_proto_test_fcgi_encode_LDADD = $(PROTO_LIBS) $(CHECK_LIBS)
tests_unit_proto_test_fcgi_values_LDADD = $(PROTO_LIBS) $(CHECK_LIBS)
tests_unit_proto_test_params_LDADD = $(PROTO_LIBS) $(CHECK_LIBS)
tests_unit_proto_test_request_id_LDADD = $(PROTO_LIBS) $(CHECK_LIBS)
tests_unit_proto_test_trace_context_LDADD = $(PROTO_LIBS) $(CHECK_LIBS)
tests_unit_proto_test_forwarded_LDADD = $(PROTO_LIBS) $(CHECK_LIBS)
tests_unit_proto_test_handover_LDADD = $(PROTO_LIBS) $(CHECK_LIBS)
tests_unit_proto_test_http_body_LDADD = $(PROTO_LIBS) $(CHECK_LIBS)
tests_unit_proto_test_http_encode_LDADD = $(PROTO_LIBS) $(CHECK_LIBS)
tests_unit_proto_test_http_head_LDADD = $(PROTO_LIBS) $(CHECK_LIBS)
tests_unit_proto_test_http_framing_LDADD = $(PROTO_LIBS) $(CHECK_LIBS)
tests_unit_proto_test_http_framing_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=llhttp_init
tests_unit_proto_test_http_lines_LDADD = $(PROTO_LIBS) $(CHECK_LIBS)
tests_unit_proto_test_http_target_LDADD = $(PROTO_LIBS) $(CHECK_LIBS)
tests_unit_proto_test_status_head_LDADD = $(PROTO_LIBS) $(CHECK_LIBS)
tests_unit_proto_test_proxy_header_LDADD = $(PROTO_LIBS) $(CHECK_LIBS)
tests_unit_request_test_answer_LDADD = $(REQUEST_LIBS) $(CHECK_LIBS)
tests_unit_request_test_body_LDADD = $(REQUEST_LIBS) $(CHECK_LIBS)
tests_unit_request_test_body_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=descriptors_close
tests_unit_request_test_body_memory_LDADD = $(REQUEST_LIBS) $(CHECK_LIBS)
tests_unit_request_test_body_memory_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=malloc
tests_unit_request_test_request_LDADD = $(REQUEST_LIBS) $(CHECK_LIBS)
tests_unit_request_test_request_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=pthread_mutex_lock
tests_unit_sched_test_backlog_LDADD = $(SCHED_LIBS) $(CHECK_LIBS)
tests_unit_sched_test_backlog_sim_LDADD = $(SCHED_LIBS) $(CHECK_LIBS)
tests_unit_sched_test_baton_LDADD = $(SCHED_LIBS) $(CHECK_LIBS)
tests_unit_sched_test_caught_LDADD = $(SCHED_LIBS) $(CHECK_LIBS)
tests_unit_sched_test_free_LDADD = $(SCHED_LIBS) $(CHECK_LIBS)
tests_unit_sched_test_hold_LDADD = $(SCHED_LIBS) $(CHECK_LIBS)
tests_unit_sched_test_job_LDADD = $(SCHED_LIBS) $(CHECK_LIBS)
tests_unit_sched_test_lent_LDADD = $(SCHED_LIBS) $(CHECK_LIBS)
tests_unit_sched_test_lines_LDADD = $(SCHED_LIBS) $(CHECK_LIBS)
tests_unit_sched_test_lines_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=clock_gettime
tests_unit_sched_test_lost_LDADD = $(SCHED_LIBS) $(CHECK_LIBS)
tests_unit_sched_test_measure_LDADD = $(SCHED_LIBS) $(CHECK_LIBS)
tests_unit_sched_test_post_LDADD = $(SCHED_LIBS) $(CHECK_LIBS)
tests_unit_sched_test_owner_LDADD = $(SCHED_LIBS) $(CHECK_LIBS)
tests_unit_sched_test_peer_wait_LDADD = $(SCHED_LIBS) $(CHECK_LIBS)
tests_unit_sched_test_predict_LDADD = $(SCHED_LIBS) $(CHECK_LIBS)
tests_unit_sched_test_queue_LDADD = $(SCHED_LIBS) $(CHECK_LIBS)
tests_unit_sched_test_refuse_LDADD = $(SCHED_LIBS) $(CHECK_LIBS)
tests_unit_sched_test_refuse_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=clock_gettime -Wl,--wrap=ev_timer_start
tests_unit_sched_test_retire_LDADD = $(SCHED_LIBS) $(CHECK_LIBS)
tests_unit_sched_test_run_loop_LDADD = $(SCHED_LIBS) $(CHECK_LIBS)
tests_unit_sched_test_sched_LDADD = $(SCHED_LIBS) $(CHECK_LIBS)
tests_unit_sched_test_share_LDADD = $(SCHED_LIBS) $(CHECK_LIBS)
tests_unit_sched_test_share_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=clock_gettime
tests_unit_sched_test_taskstat_LDADD = $(SCHED_LIBS) $(CHECK_LIBS)
tests_unit_sched_test_threads_LDADD = $(SCHED_LIBS) $(CHECK_LIBS)
tests_unit_sched_test_watch_LDADD = $(SCHED_LIBS) $(CHECK_LIBS)
tests_unit_traces_test_settings_LDADD = $(TRACES_LIBS) $(CHECK_LIBS)
tests_unit_traces_test_spans_LDADD = $(TRACES_LIBS) $(CHECK_LIBS)
tests_unit_cli_test_environment_LDADD = $(CLI_LIBS) $(CHECK_LIBS)
tests_unit_cli_test_options_LDADD = $(CLI_LIBS) $(CHECK_LIBS)
tests_unit_cli_test_settings_LDADD = $(CLI_LIBS) $(CHECK_LIBS)
tests_unit_net_listen_test_allow_LDADD = $(LISTEN_LIBS) $(CHECK_LIBS)
tests_unit_net_listen_test_address_set_LDADD = $(LISTEN_LIBS) $(CHECK_LIBS)
tests_unit_net_listen_test_address_LDADD = $(LISTEN_LIBS) $(CHECK_LIBS)
tests_unit_net_test_access_text_LDADD = src/libnet.a $(BASE_LIBS) $(CHECK_LIBS)
tests_unit_net_test_calls_LDADD = $(NET_LIBS) $(CHECK_LIBS)
tests_unit_net_test_conn_out_LDADD = $(NET_LIBS) $(CHECK_LIBS)
tests_unit_net_test_conn_out_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=sched_has_loop,--wrap=syscall
tests_unit_net_test_conn_rate_LDADD = $(NET_LIBS) $(CHECK_LIBS)
tests_unit_net_test_conn_transmit_LDADD = $(NET_LIBS) $(CHECK_LIBS)
tests_unit_net_test_conn_transmit_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=sched_will_block,--wrap=sched_run_loop,--wrap=sendfile
tests_unit_net_test_deadline_LDADD = $(FRONT_LIBS) $(CHECK_LIBS)
tests_unit_net_test_deadline_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=clock_gettime,--wrap=malloc,--wrap=sched_looping,--wrap=sched_thread_time \
	-Wl,--wrap=sched_thread_of,--wrap=sched_lose,--wrap=sched_lost
tests_unit_net_test_status_server_LDADD = $(NET_LIBS) $(CHECK_LIBS)
tests_unit_net_test_level_LDADD = $(NET_LIBS) $(CHECK_LIBS)
tests_unit_net_test_handover_LDADD = $(FRONT_LIBS) $(CHECK_LIBS)
tests_unit_net_test_handover_threads_LDADD = $(FRONT_LIBS) $(CHECK_LIBS)
tests_unit_net_fcgi_test_count_LDADD = $(FRONT_LIBS) $(CHECK_LIBS)
tests_unit_net_fcgi_test_early_LDADD = $(FRONT_LIBS) $(CHECK_LIBS)
tests_unit_net_http_test_ends_LDADD = $(FRONT_LIBS) $(CHECK_LIBS)
tests_unit_net_http_test_ends_LDFLAGS = $(AM_LDFLAGS) $(FILE_RIG_WRAP) -Wl,--wrap=malloc,--wrap=conn_output
tests_unit_net_http_test_outcome_LDADD = $(FRONT_LIBS) $(CHECK_LIBS)
tests_unit_net_http_test_outcome_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=request_reset
tests_unit_net_fcgi_test_files_LDADD = $(FRONT_LIBS) $(CHECK_LIBS)
tests_unit_net_fcgi_test_files_LDFLAGS = $(AM_LDFLAGS) $(FILE_RIG_WRAP)
tests_unit_net_fcgi_test_outcome_LDADD = $(FRONT_LIBS) $(CHECK_LIBS)
tests_unit_net_fcgi_test_outcome_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=request_reset
tests_unit_net_listen_test_listener_LDADD = $(LISTEN_LIBS) $(CHECK_LIBS)
tests_unit_net_fcgi_test_peer_LDADD = $(FRONT_LIBS) $(CHECK_LIBS)
tests_unit_net_listen_test_socket_file_LDADD = $(LISTEN_LIBS) $(CHECK_LIBS)
tests_unit_net_listen_test_socket_file_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=listen,--wrap=fchmodat
tests_unit_python_test_interrupt_CPPFLAGS = $(AM_CPPFLAGS) $(PYTHON_CPPFLAGS)
tests_unit_python_test_interrupt_LDADD = src/libpy.a $(REQUEST_LIBS) $(PYTHON_WRAP_LIBS) $(PYTHON_LIBS) $(CHECK_LIBS)
tests_unit_python_test_name_cache_CPPFLAGS = $(AM_CPPFLAGS) $(PYTHON_CPPFLAGS)
tests_unit_python_test_name_cache_LDADD = src/libpy.a $(PROTO_LIBS) $(BASE_LIBS) $(PYTHON_LIBS) $(CHECK_LIBS)
tests_unit_python_test_name_cache_LDFLAGS = $(AM_LDFLAGS) $(PYTHON_WRAP)
EXTRA_tests_unit_python_test_name_cache_DEPENDENCIES = $(PYTHON_COPY)
tests_unit_python_test_report_CPPFLAGS = $(AM_CPPFLAGS) $(PYTHON_CPPFLAGS)
tests_unit_python_test_report_LDADD = src/libpy.a $(REQUEST_LIBS) $(PYTHON_WRAP_LIBS) $(PYTHON_LIBS) $(CHECK_LIBS)
tests_unit_python_test_stack_CPPFLAGS = $(AM_CPPFLAGS) $(PYTHON_CPPFLAGS)
tests_unit_python_test_stack_torture_CPPFLAGS = $(AM_CPPFLAGS) $(PYTHON_CPPFLAGS) \
	-DTORTURE_PY='"$(abs_top_srcdir)/tests/unit/python/torture.py"'
tests_unit_python_test_stack_torture_LDADD = src/libpy.a $(SCHED_LIBS) $(PYTHON_WRAP_LIBS) $(PYTHON_LIBS) $(CHECK_LIBS)
tests_unit_python_test_stack_LDADD = src/libpy.a $(SCHED_LIBS) $(PYTHON_WRAP_LIBS) $(PYTHON_LIBS) $(CHECK_LIBS)
tests_unit_python_test_interrupt_LDFLAGS = $(AM_LDFLAGS) $(PYTHON_WRAP)
EXTRA_tests_unit_python_test_interrupt_DEPENDENCIES = $(PYTHON_COPY)
tests_unit_python_test_report_LDFLAGS = $(AM_LDFLAGS) $(PYTHON_WRAP)
EXTRA_tests_unit_python_test_report_DEPENDENCIES = $(PYTHON_COPY)
tests_unit_python_test_stack_LDFLAGS = $(AM_LDFLAGS) $(PYTHON_WRAP)
EXTRA_tests_unit_python_test_stack_DEPENDENCIES = $(PYTHON_COPY)
tests_unit_python_test_stack_torture_LDFLAGS = $(AM_LDFLAGS) $(PYTHON_WRAP)
EXTRA_tests_unit_python_test_stack_torture_DEPENDENCIES = $(PYTHON_COPY)
tests_unit_process_test_memory_growth_LDADD = src/libprocess.a $(BASE_LIBS) $(CHECK_LIBS)
tests_unit_process_test_title_LDADD = src/libprocess.a $(CHECK_LIBS)
tests_unit_supervisor_test_cpus_LDADD = src/libsupervisor.a $(BASE_LIBS) $(CHECK_LIBS)
tests_unit_supervisor_test_file_globs_LDADD = $(SUPERVISOR_LIBS) $(CHECK_LIBS)
tests_unit_supervisor_test_file_set_LDADD = src/libsupervisor.a $(BASE_LIBS) $(CHECK_LIBS)
tests_unit_supervisor_test_state_LDADD = $(SUPERVISOR_LIBS) $(CHECK_LIBS)
tests_unit_bench_test_histogram_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/contrib/bench
tests_unit_bench_test_histogram_LDADD = $(CHECK_LIBS)

# Fuzz targets: replay_NAME feeds the stored corpus to the target of fuzz_NAME, without libFuzzer.

REPLAY_BINARIES = \
	tests/fuzz/replay_access_format tests/fuzz/replay_cgi tests/fuzz/replay_config tests/fuzz/replay_conn tests/fuzz/replay_control tests/fuzz/replay_fcgi_decode \
	tests/fuzz/replay_handover tests/fuzz/replay_params tests/fuzz/replay_state tests/fuzz/replay_trace_context \
	tests/fuzz/replay_status_head
tests_fuzz_replay_access_format_SOURCES = tests/fuzz/fuzz_access_format.c tests/fuzz/replay.c
tests_fuzz_replay_access_format_LDADD = $(PROTO_LIBS)
tests_fuzz_replay_cgi_SOURCES = tests/fuzz/fuzz_cgi.c tests/fuzz/replay.c
tests_fuzz_replay_cgi_LDADD = $(PROTO_LIBS)
tests_fuzz_replay_config_SOURCES = tests/fuzz/fuzz_config.c tests/fuzz/replay.c
tests_fuzz_replay_config_LDADD = $(CLI_LIBS)
tests_fuzz_replay_control_SOURCES = tests/fuzz/fuzz_control.c tests/fuzz/replay.c
tests_fuzz_replay_control_LDADD = $(IPC_LIBS)
tests_fuzz_replay_fcgi_decode_SOURCES = tests/fuzz/fuzz_fcgi_decode.c tests/fuzz/replay.c
tests_fuzz_replay_fcgi_decode_LDADD = $(PROTO_LIBS)
tests_fuzz_replay_handover_SOURCES = tests/fuzz/fuzz_handover.c tests/fuzz/replay.c
tests_fuzz_replay_handover_LDADD = $(PROTO_LIBS)
tests_fuzz_replay_params_SOURCES = tests/fuzz/fuzz_params.c tests/fuzz/replay.c
tests_fuzz_replay_params_LDADD = $(PROTO_LIBS)
tests_fuzz_replay_state_SOURCES = tests/fuzz/fuzz_state.c tests/fuzz/replay.c
tests_fuzz_replay_state_LDADD = $(SUPERVISOR_LIBS)
tests_fuzz_replay_trace_context_SOURCES = tests/fuzz/fuzz_trace_context.c tests/fuzz/replay.c
tests_fuzz_replay_trace_context_LDADD = $(PROTO_LIBS)
tests_fuzz_replay_status_head_SOURCES = tests/fuzz/fuzz_status_head.c tests/fuzz/replay.c
tests_fuzz_replay_status_head_LDADD = $(PROTO_LIBS)

# A whole connection: fake_sched.c stands in for libsched.a, and log lines are put together but not written.
CONN_RIG = tests/fuzz/conn_rig.c tests/fuzz/conn_rig.h tests/fuzz/fake_sched.c tests/fuzz/fake_sched.h
FUZZ_CONN = tests/fuzz/fuzz_conn.c tests/fuzz/peer.c tests/fuzz/peer.h $(CONN_RIG)
FUZZ_CONN_LIBS = src/libnetfcgi.a $(NET_HTTP_LIBS) src/libnet.a src/liblisten.a src/librequest.a src/libtraces.a $(PROTO_LIBS) $(STATUS_LIBS) $(EV_LIBS) $(FASTCGI_LIBS)
tests_fuzz_replay_conn_SOURCES = $(FUZZ_CONN) tests/fuzz/replay.c
tests_fuzz_replay_conn_LDADD = $(FUZZ_CONN_LIBS)
tests_fuzz_replay_conn_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=log_printf

if HTTP
REPLAY_BINARIES += \
	tests/fuzz/replay_http tests/fuzz/replay_http_chunks tests/fuzz/replay_http_conn tests/fuzz/replay_http_peer
endif
tests_fuzz_replay_http_SOURCES = tests/fuzz/fuzz_http.c tests/fuzz/replay.c
tests_fuzz_replay_http_LDADD = $(PROTO_LIBS) $(BASE_LIBS)
tests_fuzz_replay_http_chunks_SOURCES = tests/fuzz/fuzz_http_chunks.c tests/fuzz/replay.c
tests_fuzz_replay_http_chunks_LDADD = $(PROTO_LIBS)
tests_fuzz_replay_http_peer_SOURCES = tests/fuzz/fuzz_http_peer.c tests/fuzz/replay.c
tests_fuzz_replay_http_peer_LDADD = $(PROTO_LIBS)
FUZZ_HTTP_CONN = tests/fuzz/fuzz_http_conn.c $(CONN_RIG)
tests_fuzz_replay_http_conn_SOURCES = $(FUZZ_HTTP_CONN) tests/fuzz/replay.c
tests_fuzz_replay_http_conn_LDADD = $(FUZZ_CONN_LIBS)
tests_fuzz_replay_http_conn_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=log_printf

if WITH_FUZZER
if HTTP
noinst_PROGRAMS += \
	tests/fuzz/fuzz_http tests/fuzz/fuzz_http_chunks tests/fuzz/fuzz_http_conn tests/fuzz/fuzz_http_peer
endif
noinst_PROGRAMS += tests/fuzz/fuzz_access_format tests/fuzz/fuzz_cgi tests/fuzz/fuzz_config tests/fuzz/fuzz_conn tests/fuzz/fuzz_control tests/fuzz/fuzz_fcgi_decode \
	tests/fuzz/fuzz_handover tests/fuzz/fuzz_params tests/fuzz/fuzz_state tests/fuzz/fuzz_trace_context \
	tests/fuzz/fuzz_status_head
endif
tests_fuzz_fuzz_conn_SOURCES = $(FUZZ_CONN)
tests_fuzz_fuzz_conn_LDADD = $(FUZZ_CONN_LIBS)
tests_fuzz_fuzz_conn_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=log_printf -fsanitize=fuzzer
tests_fuzz_fuzz_http_conn_SOURCES = $(FUZZ_HTTP_CONN)
tests_fuzz_fuzz_http_conn_LDADD = $(FUZZ_CONN_LIBS)
tests_fuzz_fuzz_http_conn_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=log_printf -fsanitize=fuzzer
tests_fuzz_fuzz_http_LDADD = $(PROTO_LIBS) $(BASE_LIBS)
tests_fuzz_fuzz_http_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_http_chunks_LDADD = $(PROTO_LIBS)
tests_fuzz_fuzz_http_chunks_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_http_peer_LDADD = $(PROTO_LIBS)
tests_fuzz_fuzz_http_peer_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_access_format_LDADD = $(PROTO_LIBS)
tests_fuzz_fuzz_access_format_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_cgi_LDADD = $(PROTO_LIBS)
tests_fuzz_fuzz_cgi_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_config_LDADD = $(CLI_LIBS)
tests_fuzz_fuzz_config_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_control_LDADD = $(IPC_LIBS)
tests_fuzz_fuzz_control_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_fcgi_decode_LDADD = $(PROTO_LIBS)
tests_fuzz_fuzz_fcgi_decode_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_handover_LDADD = $(PROTO_LIBS)
tests_fuzz_fuzz_handover_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_params_LDADD = $(PROTO_LIBS)
tests_fuzz_fuzz_params_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_trace_context_LDADD = $(PROTO_LIBS)
tests_fuzz_fuzz_trace_context_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_state_LDADD = $(SUPERVISOR_LIBS)
tests_fuzz_fuzz_state_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_status_head_LDADD = $(PROTO_LIBS)
tests_fuzz_fuzz_status_head_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer

SCRIPT_TESTS = tests/check-corpus tests/check-globals tests/check-locale tests/check-man tests/check-observability \
	tests/check-probes tests/check-symbols tests/check-variables
if EXTENSION
NATIVE = $(abs_top_builddir)/$(MODULE)
else
NATIVE = $(abs_top_builddir)/wsgi-fcgi$(EXEEXT)
endif

if HAVE_CHECK
check_PROGRAMS += $(UNIT_TESTS) $(REPLAY_BINARIES)
TESTS += $(UNIT_TESTS) $(SCRIPT_TESTS)
else
check-local:
	@echo 'make check: the unit tests need Check (Debian: apt-get install check); configure anew when it is there' >&2
	@exit 1
endif

# PYTHONMALLOC: a leak checker does not look into the arenas of Python's own allocator, and would report all that is
# referenced from there only. report_thread_leaks: what still runs at the end of a stop is left behind on purpose.
# die_after_fork: a child that the application forks may start threads.
SANITIZER_ENVIRONMENT = \
	PYTHONMALLOC=malloc \
	ASAN_OPTIONS='detect_leaks=1:strict_string_checks=1' \
	LSAN_OPTIONS='suppressions=$(abs_top_srcdir)/tests/lsan.supp:print_suppressions=0' \
	TSAN_OPTIONS='suppressions=$(abs_top_srcdir)/tests/tsan.supp:halt_on_error=1:second_deadlock_stack=1:report_thread_leaks=0:die_after_fork=0:atexit_sleep_ms=0' \
	UBSAN_OPTIONS='print_stacktrace=1'

if HTTP
HTTP_TESTS = yes
else
HTTP_TESTS =
endif

AM_TESTS_ENVIRONMENT = \
	export $(SANITIZER_ENVIRONMENT); \
	export HTTP_TESTS='$(HTTP_TESTS)'; \
	export SOURCES='$(abs_top_srcdir)/src' LIBRARIES='$(noinst_LIBRARIES)' PYTHON_LIBS='$(PYTHON_LIBS)'; \
	export NATIVE='$(NATIVE)'; \
	export WSGI_FCGI='$(abs_top_builddir)/wsgi-fcgi$(EXEEXT)' MAN_PAGE='$(abs_top_srcdir)/man/wsgi-fcgi.8';

# The suite for the running daemon, and its reference responder, which is written with libfcgi.

EXTRA_PROGRAMS += tests/daemon/reference
tests_daemon_reference_LDADD = $(FCGI_LIBS)

# A library to preload: without what the flags of programs add, as contrib/bench/malloc-count.so.
tests/daemon/tamper.so: tests/daemon/tamper.c config.h
	@$(MKDIR_P) tests/daemon
	$(AM_V_CCLD)$(CC) -I. $(CPPFLAGS) -D_GNU_SOURCE -std=c11 $(WARN_CFLAGS) $(CFLAGS) -fPIC -shared -o $@ \
		'$(srcdir)/tests/daemon/tamper.c'

if WITH_SANITIZER
DAEMON_TEST_ENVIRONMENT = $(SANITIZER_ENVIRONMENT) WSGI_FCGI_SANITIZED=1
else
DAEMON_TEST_ENVIRONMENT =
endif

TEST_ENVIRONMENT = \
	$(DAEMON_TEST_ENVIRONMENT) PYTHONDONTWRITEBYTECODE=1 \
	WSGI_FCGI='$(abs_top_builddir)/wsgi-fcgi$(EXEEXT)' \
	WSGI_FCGI_REFERENCE='$(abs_top_builddir)/tests/daemon/reference$(EXEEXT)' \
	WSGI_FCGI_TAMPER='$(abs_top_builddir)/tests/daemon/tamper.so' \
	WSGI_FCGI_UNITS='$(abs_top_builddir)/contrib/systemd'
# contrib/test has a cache, to run again what has failed.
PYTEST_CACHE = -p no:cacheprovider
RUN_PYTEST = $(TEST_ENVIRONMENT) $(TEST_PYTHON) -m pytest $(PYTEST_CACHE) $(PYTEST_FLAGS)
# The tests wait most of the time: several processes share the modules where pytest-xdist is there. Of two options -n
# the last one counts, so that PYTEST_FLAGS='-n 0' makes it one process.
PYTEST_PARALLEL = `$(TEST_PYTHON) -c 'import xdist' 2>/dev/null && printf %s '-n auto --dist loadfile'`
RUN_PYTEST_PARALLEL = $(TEST_ENVIRONMENT) $(TEST_PYTHON) -m pytest $(PYTEST_CACHE) $(PYTEST_PARALLEL) $(PYTEST_FLAGS)

.PHONY: check-daemon check-proxies check-apps apps-venv
check-daemon: $(SERVER) $(TOP_PROGRAM) $(SYSTEMD_UNIT_FILES) tests/daemon/reference$(EXEEXT) tests/daemon/tamper.so
	$(RUN_PYTEST_PARALLEL) '$(top_srcdir)/tests/daemon'

# The forms of the status, of memory that is made up, and once of a server: by parsers, promtool, and a browser.

EXTRA_PROGRAMS += tests/status/render
tests_status_render_LDADD = $(STATUS_LIBS)
.PHONY: check-status
check-status: $(SERVER) tests/status/render$(EXEEXT)
	STATUS_RENDER='$(abs_top_builddir)/tests/status/render$(EXEEXT)' MAN_PAGE='$(abs_top_srcdir)/man/wsgi-fcgi.8' \
		$(RUN_PYTEST_PARALLEL) '$(top_srcdir)/tests/status'

# The suite behind the six front proxies, with the configurations of contrib/proxies.

check-proxies: $(SERVER)
	$(RUN_PYTEST) '$(top_srcdir)/tests/proxies'

# The wheel, as contrib/wheels makes it for the Python of this build from the sources alone, in fresh virtual environments.

WHEELS = $(abs_top_builddir)/wheels
.PHONY: check-wheel
check-wheel:
	rm -rf '$(WHEELS)'
	'$(top_srcdir)/contrib/wheels' --out '$(WHEELS)' --try '$(PYTHON_EXECUTABLE)'
	WHEELS='$(WHEELS)' WHEEL_PYTHON='$(PYTHON_EXECUTABLE)' $(RUN_PYTEST_PARALLEL) '$(top_srcdir)/tests/wheel'

# The suite of applications from PyPI, in a virtual environment that is kept until the requirements change.

APPS_VENV = $(abs_top_builddir)/apps-venv
APPS_REQUIREMENTS = $(srcdir)/tests/apps/requirements.txt

check-apps: $(SERVER) apps-venv
	$(TEST_ENVIRONMENT) '$(APPS_VENV)/bin/python' -m pytest $(PYTEST_CACHE) -n auto --dist loadfile $(PYTEST_FLAGS) \
		'$(top_srcdir)/tests/apps'

apps-venv:
	@cmp -s '$(APPS_REQUIREMENTS)' '$(APPS_VENV)/requirements.txt' || { \
	  echo 'making the virtual environment $(APPS_VENV)' && \
	  rm -rf '$(APPS_VENV)' && \
	  '$(PYTHON_EXECUTABLE)' -m venv '$(APPS_VENV)' && \
	  '$(APPS_VENV)/bin/python' -m pip --quiet --no-input --disable-pip-version-check \
	    install --no-deps --requirement '$(APPS_REQUIREMENTS)' && \
	  '$(APPS_VENV)/bin/python' -m pip check && \
	  cp '$(APPS_REQUIREMENTS)' '$(APPS_VENV)/requirements.txt'; }

# Images and containers, by buildah and the namespaces of a runtime; and the manifests of contrib/kubernetes, for which the
# environment has the schemas. Root: buildah and namespaces need it.

CONTAINER_VENV = $(abs_top_builddir)/container-venv
CONTAINER_REQUIREMENTS = $(srcdir)/tests/container/requirements.txt

.PHONY: check-container container-venv
check-container: $(SERVER) container-venv
	$(TEST_ENVIRONMENT) '$(CONTAINER_VENV)/bin/python' -m pytest $(PYTEST_CACHE) $(PYTEST_FLAGS) '$(top_srcdir)/tests/container'

container-venv:
	@cmp -s '$(CONTAINER_REQUIREMENTS)' '$(CONTAINER_VENV)/requirements.txt' || { \
	  echo 'making the virtual environment $(CONTAINER_VENV)' && \
	  rm -rf '$(CONTAINER_VENV)' && \
	  $(TEST_PYTHON) -m venv --system-site-packages '$(CONTAINER_VENV)' && \
	  '$(CONTAINER_VENV)/bin/python' -m pip --quiet --no-input --disable-pip-version-check \
	    install --no-deps --requirement '$(CONTAINER_REQUIREMENTS)' && \
	  cp '$(CONTAINER_REQUIREMENTS)' '$(CONTAINER_VENV)/requirements.txt'; }

distclean-local:
	rm -rf '$(abs_top_builddir)/apps-venv' '$(abs_top_builddir)/container-venv'

CLEANFILES += tests/daemon/reference$(EXEEXT) tests/daemon/tamper.so tests/status/render$(EXEEXT)

noinst_HEADERS = tests/cgi_vars.h tests/unit/fake_root.h tests/unit/net/bare_conn.h tests/unit/net/file_rig.h tests/unit/net/lane_rig.h tests/unit/net/outcome_rig.h tests/unit/no_threads.h tests/unit/python/python_rig.h tests/unit/status/scene.h tests/unit/sched/fake_clock.h tests/unit/sched/queue_rig.h tests/unit/sched/sched_rig.h tests/unit/unit.h
EXTRA_DIST += $(SCRIPT_TESTS) tests/deb tests/check-dist tests/unit/python/torture.py tests/lsan.supp tests/tsan.supp tests/apps tests/bench tests/container tests/fuzz/corpus tests/daemon tests/proxies tests/status tests/wheel
