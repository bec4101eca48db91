/* wsgi-fcgi-top: what a server is doing, from its status page. */
#include "config.h"

#include "base/ascii.h"
#include "top/doc.h"
#include "top/fetch.h"
#include "top/live.h"
#include "top/options.h"
#include "top/view.h"

#include <langinfo.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sysexits.h>
#include <unistd.h>

enum {
    WIDTH = 160, /* of what goes to no terminal */
    EX_UNHEALTHY = 1
};

static int complain(const struct options *o, const char *error) {
    fprintf(stderr, "wsgi-fcgi-top: %s: %s\n", o->shown, error);
    return EX_UNAVAILABLE;
}

static int end_output(void) {
    if (!fflush(stdout) && !ferror(stdout))
        return EX_OK;
    perror("wsgi-fcgi-top: standard output");
    return EX_IOERR;
}

static unsigned output_width(void) {
    struct winsize size;
    uint64_t columns;
    const char *given = getenv("COLUMNS");
    if (isatty(STDOUT_FILENO) && !ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) && size.ws_col)
        return size.ws_col;
    return given && ascii_is_number(given, PAGE_WIDEST, &columns) && columns ? (unsigned)columns : WIDTH;
}

/* Without styles, which are bytes below those of text. */
static void write_plain(const struct page *p) {
    const char *text = buf_head(&p->text);
    for (size_t i = 0; i < buf_len(&p->text); i++) {
        if ((unsigned char)text[i] >= ' ' || text[i] == '\n')
            putchar(text[i]);
    }
}

static int show_once(const json_t *doc, bool stacks, bool utf8) {
    struct view view = {.doc = doc, .selected = -1, .stacks = stacks};
    struct page page = {.width = 0};
    page_begin(&page, output_width(), utf8);
    view_put(&page, &view);
    write_plain(&page);
    page_fini(&page);
    return end_output();
}

static int show_json(struct slice body) {
    fwrite(body.p, 1, body.n, stdout);
    if (body.n && body.p[body.n - 1] != '\n')
        putchar('\n');
    return end_output();
}

/* Whoever checks knows 0 and 1 (docker), and the line is for whoever reads what its checks have said. */
static int check_health(const struct options *o) {
    struct fetch f;
    int status = EX_UNHEALTHY;
    if (fetch_init(&f, &o->target, FETCH_HEALTH) || fetch_now(&f) != FETCH_DONE) {
        (void)complain(o, f.error);
    } else {
        fwrite(f.reply.body.p, 1, f.reply.body.n, stdout);
        status = f.reply.status == 200 ? end_output() : EX_UNHEALTHY;
    }
    fetch_fini(&f);
    return status;
}

static int show(const struct options *o, struct fetch *f) {
    /* Of the locale only this: how the terminal shows characters. Numbers and words do not follow it. */
    bool utf8 = setlocale(LC_CTYPE, "") && !strcmp(nl_langinfo(CODESET), "UTF-8");
    char error[FETCH_ERROR_SIZE];
    json_t *doc = doc_read(f->reply.body.p, f->reply.body.n, error, sizeof error);
    if (!doc)
        return complain(o, error);
    int status = o->json   ? show_json(f->reply.body)
                 : o->once ? show_once(doc, o->stacks, utf8)
                           : live_run(f, o->shown, o->interval_ms, utf8);
    json_decref(doc);
    return status;
}

int main(int argc, char **argv) {
    struct options o;
    struct fetch f;
    int status = EX_OK;
    if (!options_read(&o, argc, argv, &status))
        return status;
    if (o.health)
        return check_health(&o);
    if (fetch_init(&f, &o.target, "format=json") || fetch_now(&f) != FETCH_DONE)
        status = complain(&o, f.error);
    else
        status = show(&o, &f);
    fetch_fini(&f);
    return status;
}
