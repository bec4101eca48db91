#include "config.h"

#include "status/forms.h"

#include "unit/unit.h"

static struct snapshot *s;
static struct buf out;

static void setup(void) {
    s = calloc(1, sizeof *s);
    ck_assert_ptr_nonnull(s);
    s->now = UINT64_C(1796040000500000000);
    s->source = (struct status_source){.application = "app:app",
                                       .python = "3.11.2",
                                       .pid = 7,
                                       .workers = 1,
                                       .threads_max = 8,
                                       .started_at = s->now - 90};
}

static void teardown(void) {
    free(s);
    buf_fini(&out);
}

static const char *text_of_out(void) {
    ck_assert_int_eq(buf_append(&out, "", 1), 0);
    return buf_head(&out);
}

static void contains(const char *shown, const char *part) {
    if (!strstr(shown, part))
        ck_abort_msg("missing: %.300s in %.3000s", part, shown);
}

static struct snapshot_call *add_call(const char *path) {
    struct snapshot_call *c = s->calls[s->call_count] = &s->call_places[s->call_count];
    s->call_count++;
    *c = (struct snapshot_call){.worker = 3, .pid = 77, .elapsed = 1500000000};
    c->call = (struct inspect_call){.queued = INSPECT_NOT_KNOWN,
                                    .processor = 250000000,
                                    .waited = INSPECT_NOT_KNOWN,
                                    .tid = 78,
                                    .state = INSPECT_BLOCKED,
                                    .line = 12,
                                    .request_id = "id-1",
                                    .method = "GET",
                                    .file = "/srv/app.py",
                                    .function = "view"};
    strncpy(c->call.path, path, sizeof c->call.path - 1);
    return c;
}

static void add_stack(struct snapshot_call *c, unsigned frames, const char *text) {
    c->call.frames = frames;
    c->call.stack = (uint32_t)s->stacks_len;
    c->call.stack_len = (uint32_t)strlen(text);
    memcpy(s->stacks + s->stacks_len, text, c->call.stack_len + 1);
    s->stacks_len += c->call.stack_len + 1;
}

START_TEST(json)
{
    s->workers[s->worker_count++] = (struct snapshot_worker){
        .number = 3, .generation = 2, .pid = 77, .state = SCOREBOARD_SERVING, .memory = 4096, .calls = 1, .full = true};
    add_stack(add_call("/x\"<"), 2,
              "      File \"/srv/main.py\", line 1, in <module>\n      File \"/srv/app.py\", line 12, in view\n");
    struct snapshot_call *c = add_call("/y");
    add_stack(c, 0, "its stack cannot be told: why");
    c->call.tid = 0;
    *c->call.file = '\0';
    *c->call.request_id = '\0';
    s->calls_more = 9;
    ck_assert_int_eq(form_json(s, &out), 0);
    const char *shown = text_of_out();
    contains(shown, "{\"version\":1,\"server\":{\"version\":\"" PACKAGE_VERSION "\",\"python\":\"3.11.2\",\"pid\":7,"
                    "\"application\":\"app:app\",\"started_at\":1796040000.49999991,\"now\":1796040000.5,"
                    "\"workers\":1,\"threads_max\":8},\"notes\":[],");
    contains(shown, "\"workers\":[{\"number\":3,\"pid\":77,\"generation\":2,\"state\":\"serving\","
                    "\"memory_bytes\":4096,\"started_at\":null,\"connections\":0,\"requests\":0,\"queued\":0,"
                    "\"threads\":{\"running\":0,\"idle\":0,\"stuck\":0,\"lost\":0},"
                    "\"caught\":false,\"full\":true,\"lock_waited_seconds\":0}],");
    contains(shown, "\"running\":[{\"worker\":3,\"pid\":77,\"thread\":78,\"request_id\":\"id-1\",\"trace_id\":null,"
                    "\"method\":\"GET\",\"path\":\"/x\\\"\\u003c\",\"seconds\":1.5,\"cpu_seconds\":0.25,"
                    "\"queue_seconds\":null,\"lock_waited_seconds\":null,\"has_lock\":false,\"state\":\"blocked\","
                    "\"phase\":\"running\",\"line\":{\"file\":\"/srv/app.py\",\"line\":12,\"function\":\"view\"},"
                    "\"stack\":[\"File \\\"/srv/main.py\\\", line 1, in \\u003cmodule\\u003e\","
                    "\"File \\\"/srv/app.py\\\", line 12, in view\"],\"no_stack\":null},");
    contains(shown, "{\"worker\":3,\"pid\":77,\"thread\":null,\"request_id\":null,");
    contains(shown,
             "\"line\":null,\"stack\":null,\"no_stack\":\"its stack cannot be told: why\"}],\"running_more\":9,");
    contains(shown, "\"totals\":{\"start_time_seconds\":1796040000.49999991},\"histograms\":{},"
                    "\"history\":{\"seconds\":5,\"buckets\":[]},\"paths\":{\"slowest\":[],\"frequent\":[]},"
                    "\"ends\":[],\"log\":[]}\n");
}
END_TEST

START_TEST(text)
{
    s->workers[s->worker_count++] = (struct snapshot_worker){
        .number = 3, .pid = 77, .state = SCOREBOARD_SERVING, .memory = 40 << 20, .calls = 1, .stuck = 1, .full = true};
    add_stack(add_call("/x\x1b[31m"), 1, "      File \"/srv/app.py\", line 12, in view\n");
    struct snapshot_call *c = add_call("/y");
    c->elapsed = UINT64_C(400000000000);
    c->call.has_lock = 1;
    c->call.phase = INSPECT_OVERDUE;
    strcpy(s->notes[s->note_count++], "look here");
    s->calls_more = 9;
    ck_assert_int_eq(form_text(s, &out), 0);
    ck_assert_str_eq(text_of_out(),
                     "wsgi-fcgi " PACKAGE_VERSION "  app:app  pid 7  Python 3.11.2  up 0.0 s\n"
                     "\n"
                     "! look here\n"
                     "\n"
                     "RUNNING\n"
                     "     1.5 s  GET /x\\x1b[31m\n"
                     "            worker 3, pid 77, thread 78: blocked, cpu 0.2 s\n"
                     "            request id-1\n"
                     "      File \"/srv/app.py\", line 12, in view\n"
                     "6 min 40 s  GET /y\n"
                     "            worker 3, pid 77, thread 78: blocked, has the interpreter lock, overdue, "
                     "cpu 0.2 s\n"
                     "            request id-1\n"
                     "      at /srv/app.py:12 in view\n"
                     "            and 9 more\n"
                     "\n"
                     "WORKERS\n"
                     "   no      pid state    age            memory conns queue  run stuck lost\n"
                     "    3       77 serving  -              40 MiB     0     0    1     1    0 full\n");
}
END_TEST

/* Nobody who shows it as text sees more lines than there are, nor a control. */
START_TEST(hostile_text)
{
    char path[INSPECT_PATH_SIZE];
    for (unsigned i = 0; i < sizeof path - 1; i++)
        path[i] = (char)(1 + i % 255);
    path[sizeof path - 1] = '\0';
    struct snapshot_call *c = add_call(path);
    strcpy(c->call.method, "\x9b\n\r\t");
    strcpy(c->call.request_id, "\xe2\x80\xae");
    add_stack(c, 1, "      File \"\x1b\r\", line 1, in \xff\n");
    ck_assert_int_eq(form_text(s, &out), 0);
    const char *shown = text_of_out();
    unsigned lines = 0;
    for (const char *p = shown; *p; p++) {
        REQUIRE((unsigned char)*p >= 0x20 || *p == '\n');
        lines += *p == '\n';
    }
    ck_assert_uint_eq(lines, 11);
    ck_assert_ptr_null(strstr(shown, "\xe2\x80\xae"));
    ck_assert_ptr_nonnull(strstr(shown, "      File \"\\x1b\\x0d\", line 1, in \\xff\n"));
}
END_TEST

/* Nothing of others is markup: all that begins with "<" stands in the page itself, or is one of the few that the tables
 * are made of. */
START_TEST(hostile_html)
{
    struct snapshot_call *c = add_call("/\"><img src=x onerror=alert(1)>'&\xe2\x80\xae\xff");
    strcpy(c->call.method, "<b>");
    strcpy(c->call.request_id, "\"'<script>");
    strcpy(c->call.file, "</table>");
    strcpy(c->call.function, "<lambda>");
    add_stack(c, 1, "      File \"</pre><script>alert(1)</script>\", line 1, in <module>\n");
    s->source.application = "</title><script>";
    s->lines[s->line_count++] = (struct log_ring_line){.len = 8, .text = "<script>"};
    s->ends[s->end_count++] = (struct metrics_end_told){.at = 1, .text = "<script>"};
    static const struct metrics_path_sum path = {.count = 1, .text = "GET <script>"};
    s->slowest[s->slowest_count++] = &path;
    ck_assert_int_eq(form_html(s, &out), 0);
    const char *shown = text_of_out();
    ck_assert_ptr_null(strstr(shown, "<img"));
    ck_assert_ptr_null(strstr(shown, "<lambda>"));
    ck_assert_ptr_null(strstr(shown, "\xe2\x80\xae"));
    contains(shown,
             "<b>&lt;b&gt;</b> /&quot;&gt;&lt;img src=x onerror=alert(1)&gt;&#39;&amp;\\u202e\xef\xbf\xbd<small>");
    contains(shown, "<code>&lt;/table&gt;:12</code> in <code>&lt;lambda&gt;</code>");
    contains(
        shown,
        "<pre>File &quot;&lt;/pre&gt;&lt;script&gt;alert(1)&lt;/script&gt;&quot;, line 1, in &lt;module&gt;\n</pre>");
    contains(shown, "<title>&lt;/title&gt;&lt;script&gt; - wsgi-fcgi</title>");
    unsigned scripts = 0;
    for (const char *p = shown; (p = strstr(p, "<script")); p++)
        scripts++;
    ck_assert_uint_eq(scripts, 1);
}
END_TEST

/* A page of nothing but what the server has of its own is small; the most that there can be has bounds. */
START_TEST(sizes)
{
    ck_assert_int_eq(form_html(s, &out), 0);
    ck_assert_uint_lt(buf_len(&out), 24 << 10);
    while (s->call_count < SNAPSHOT_CALLS)
        add_call("/");
    for (unsigned i = 0; i < SNAPSHOT_CALLS; i++)
        memset(s->calls[i]->call.path, '"', INSPECT_PATH_SIZE - 1);
    s->line_count = SNAPSHOT_LINES;
    buf_reset(&out, 0);
    ck_assert_int_eq(form_html(s, &out), 0);
    ck_assert_uint_lt(buf_len(&out), 300 << 10);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("forms");
    TCase *tc = tcase_create("forms");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, json);
    tcase_add_test(tc, text);
    tcase_add_test(tc, hostile_text);
    tcase_add_test(tc, hostile_html);
    tcase_add_test(tc, sizes);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
