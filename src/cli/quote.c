#include "config.h"

#include "cli/quote.h"

#include "base/ascii.h"

#include <stdbool.h>
#include <string.h>

/* The escapes of one letter, and what they mean. */
static const char letters[] = "\"\\nrt", meanings[] = "\"\\\n\r\t";

/* Reads what is behind a backslash: `len` bytes. Returns how many of them belong to it; 0: it is no escape. */
static size_t read_escape(const char *text, size_t len, char *out) {
    const char *letter = len && *text ? strchr(letters, *text) : NULL;
    if (letter) {
        *out = meanings[letter - letters];
        return 1;
    }
    if (len < 3 || *text != 'x')
        return 0;
    const int high = ascii_hex_digit(text[1]), low = ascii_hex_digit(text[2]);
    if (high < 0 || low < 0 || !(high | low))
        return 0;
    *out = (char)(high << 4 | low);
    return 3;
}

size_t quote_read(const char *text, size_t len, char *out, const char **problem) {
    for (size_t i = 1; i < len; i++) {
        if (text[i] == '"') {
            *out = '\0';
            return i + 1;
        }
        if (text[i] != '\\') {
            *out++ = text[i];
            continue;
        }
        size_t n = read_escape(text + i + 1, len - i - 1, out++);
        if (!n) {
            *problem = "has a backslash that means nothing: write \\\\ for one, or \\\" \\n \\r \\t \\xHH";
            return 0;
        }
        i += n;
    }
    *problem = "has a quote at its begin and none at its end";
    return 0;
}

static bool is_plain(const char *text) {
    if (!*text || *text == '"' || *text == ' ' || text[strlen(text) - 1] == ' ')
        return false;
    for (; *text; text++) {
        if ((unsigned char)*text < ' ' || *text == 0x7f)
            return false;
    }
    return true;
}

void quote_write(FILE *out, const char *text) {
    if (is_plain(text)) {
        fputs(text, out);
        return;
    }
    fputc('"', out);
    for (; *text; text++) {
        const char *meaning = strchr(meanings, *text);
        if (meaning)
            fprintf(out, "\\%c", letters[meaning - meanings]);
        else if ((unsigned char)*text < ' ' || *text == 0x7f)
            fprintf(out, "\\x%02x", (unsigned char)*text);
        else
            fputc(*text, out);
    }
    fputc('"', out);
}
