#include "config.h"

#include "cli/ini_file.h"

#include "base/ascii.h"

#include <ini.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { NAME_MAX_LEN = 100 }; /* what libinih is given fits its lines, and its names, of which it has 50 bytes */

struct reading {
    const char *next, *end;
    unsigned number;
    const char *line; /* the one that libinih looks at, without blanks at its ends */
    size_t len;
    const char *wrong; /* why libinih is not asked, or NULL */
    bool is_open;      /* nobody was told of the line yet */
    bool is_section;
    ini_line_cb *cb;
    void *user;
    int status;
};

static void tell(struct reading *r, enum ini_kind kind, const char *name, const char *value) {
    const struct ini_line line = {kind, r->number, name, value, (size_t)(r->line + r->len - value)};
    r->is_open = false;
    if (!r->status)
        r->status = r->cb(&line, r->user);
}

/* What libinih has refused, or was not given. */
static void close_line(struct reading *r) {
    if (!r->is_open)
        return;
    const char *wrong = r->wrong;
    if (!wrong)
        wrong = r->is_section ? "is no section: write [wsgi-fcgi]" : "is not KEY = VALUE";
    tell(r, INI_WRONG, wrong, r->line);
}

static void next_line(struct reading *r) {
    const char *feed = memchr(r->next, '\n', (size_t)(r->end - r->next)), *end = feed ? feed : r->end;
    r->line = r->next;
    r->next = feed ? feed + 1 : r->end;
    if (!r->number++ && end - r->line >= 3 && !memcmp(r->line, "\xef\xbb\xbf", 3))
        r->line += 3; /* what editors of Windows write in front of UTF-8 */
    while (r->line < end && ascii_is_space(*r->line))
        r->line++;
    while (end > r->line && ascii_is_space(end[-1]))
        end--;
    r->len = (size_t)(end - r->line);
    r->is_open = r->len && *r->line != '#' && *r->line != ';';
    r->is_section = r->is_open && *r->line == '[';
    r->wrong = r->is_open && memchr(r->line, '\0', r->len) ? "has a null byte" : NULL;
}

/* The bytes of the line up to the end of its section or the sign behind its key; 0: it has none, or they are too many. */
static size_t head_len(const struct reading *r) {
    for (size_t i = 0; i < r->len && i < NAME_MAX_LEN; i++) {
        if (r->is_section ? r->line[i] == ']' : r->line[i] == '=' || r->line[i] == ':')
            return i + 1;
    }
    return 0;
}

/* As fgets(3). Gives libinih the head of each line. Behind one with a section a key follows that is in no file, since
 * libinih tells of sections by their keys alone. */
static char *read_cb(char *out, int size, void *stream) {
    struct reading *r = stream;
    if (r->is_open && r->is_section && !r->wrong) {
        snprintf(out, (size_t)size, "%s", "section=\n");
        r->wrong = "is no section: write [wsgi-fcgi]";
        return out;
    }
    close_line(r);
    if (r->status || r->next == r->end)
        return NULL;
    next_line(r);
    const size_t len = r->is_open && !r->wrong ? head_len(r) : 0;
    if (r->is_open && !r->wrong && !len)
        close_line(r);
    snprintf(out, (size_t)size, "%.*s\n", (int)len, r->line);
    return out;
}

/* libinih has cut the name of a section that is too long, or kept the one before where this one makes no sense. */
static bool is_its_section(const struct reading *r, const char *section) {
    const size_t len = strlen(section);
    return len + 2 <= r->len && !memcmp(r->line + 1, section, len) && r->line[len + 1] == ']';
}

static int line_cb(void *user, const char *section, const char *name, const char *value) {
    struct reading *r = user;
    (void)value;
    if (!r->is_open)
        return 1;
    if (!r->is_section) {
        const char *start = r->line + head_len(r), *end = r->line + r->len;
        while (start < end && ascii_is_space(*start))
            start++;
        tell(r, INI_KEY, name, start);
    } else if (is_its_section(r, section)) {
        tell(r, INI_SECTION, section, r->line + r->len);
    }
    return 1;
}

int ini_file_read(const char *bytes, size_t len, ini_line_cb *cb, void *user) {
    struct reading r = {.next = bytes, .end = bytes + len, .cb = cb, .user = user};
    if (len)
        (void)ini_parse_stream(read_cb, &r, line_cb, &r); /* its own complaints are lines that nobody was told of */
    close_line(&r);
    return r.status;
}
