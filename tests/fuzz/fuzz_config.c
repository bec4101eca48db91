/* Whatever is in a configuration file: each line has one setting or one mistake at most, settings have values that their
 * options take, and quoted values are read again as they were. */
#include "config.h"

#include "cli/config_file.h"
#include "cli/options.h"
#include "cli/quote.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_quote(const char *text) {
    const char *problem = NULL;
    char *written = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&written, &len);
    if (!out)
        abort();
    quote_write(out, text);
    fclose(out);
    char *read = malloc(len + 1);
    if (!read)
        abort();
    if (*written == '"' && (quote_read(written, len, read, &problem) != len || strcmp(read, text) != 0))
        abort();
    if (*written != '"' && strcmp(written, text) != 0)
        abort();
    free(read);
    free(written);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char reason[VALUE_REASON_SIZE];
    unsigned before = 0;
    char *bytes = malloc(size + 1);
    if (!bytes)
        abort();
    memcpy(bytes, data, size);
    struct config_file f = {.path = "f", .bytes = bytes, .len = size};
    struct settings all = {0};
    (void)config_file_parse(&f, &all);
    for (size_t i = 0; i < all.count; i++) {
        const struct setting *s = &all.items[i];
        if (s->line <= before || s->line > size + 1 || options_check(s, reason))
            abort();
        before = s->line;
        check_quote(s->text);
    }
    settings_fini(&all);
    config_file_fini(&f);
    return 0;
}
