#include "config.h"

#include "cli/nearest.h"

#include "base/ascii.h"
#include "cli/option_table.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum { LEN_MAX = 64 }; /* longer than any name */

static size_t min_size(size_t a, size_t b) {
    return a < b ? a : b;
}

static bool is_same(char a, char b) {
    return ascii_lower(a == '_' ? '-' : a) == ascii_lower(b);
}

/* How many letters are to be inserted, removed, replaced, or exchanged with their neighbours; SIZE_MAX when a text is
 * longer than any name. */
static size_t edit_distance(const char *a, size_t a_len, const char *b, size_t b_len) {
    size_t rows[3][LEN_MAX]; /* the last three lines of the table, in turns */
    if (a_len >= LEN_MAX || b_len >= LEN_MAX)
        return SIZE_MAX;
    for (size_t j = 0; j <= b_len; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= a_len; i++) {
        const size_t *before = rows[(i + 1) % 3], *last = rows[(i + 2) % 3];
        size_t *line = rows[i % 3];
        line[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            const bool same = is_same(a[i - 1], b[j - 1]);
            line[j] = min_size(last[j - 1] + !same, min_size(last[j], line[j - 1]) + 1);
            if (i > 1 && j > 1 && is_same(a[i - 1], b[j - 2]) && is_same(a[i - 2], b[j - 1]))
                line[j] = min_size(line[j], before[j - 2] + 1);
        }
    }
    return rows[a_len % 3][b_len];
}

/* The distance from which on a word has nothing to do with a text of `len` bytes. */
static size_t too_far(size_t len) {
    return len / 3 < 3 ? len / 3 + 1 : 4;
}

const char *nearest_word(const char *text, const char *const *words, size_t count) {
    const size_t len = strlen(text);
    size_t best = too_far(len);
    const char *nearest = NULL;
    for (size_t i = 0; i < count; i++) {
        size_t distance = edit_distance(text, len, words[i], strlen(words[i]));
        if (distance < best) {
            best = distance;
            nearest = words[i];
        }
    }
    return nearest;
}

const char *nearest_option(const char *name, size_t len, unsigned except) {
    const char *nearest = NULL;
    size_t count, best = too_far(len);
    const struct option_row *rows = option_table(&count);
    for (const struct option_row *row = rows; row < rows + count; row++) {
        size_t distance = row->places & except ? SIZE_MAX : edit_distance(name, len, row->name, strlen(row->name));
        if (distance < best) {
            best = distance;
            nearest = row->name;
        }
    }
    return nearest;
}
