#include "config.h"

#include "proto/request_id.h"

/* No blank, quote, comma, semicolon or bracket, which separate things in log lines. */
static bool is_good(unsigned char c) {
    if ((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'))
        return true;
    switch (c) {
    case '-':
    case '.':
    case '_':
    case '~':
    case '+':
    case '/':
    case '=':
    case ':':
    case '@':
        return true;
    default:
        return false;
    }
}

bool request_id_is_good(struct slice id) {
    if (!id.n || id.n > REQUEST_ID_MAX)
        return false;
    for (size_t i = 0; i < id.n; i++)
        if (!is_good((unsigned char)id.p[i]))
            return false;
    return true;
}

static void put_hex(char out[static 16], uint64_t value) {
    for (int i = 16; i--; value >>= 4)
        out[i] = "0123456789abcdef"[value & 15];
}

void request_ids_init(struct request_ids *ids, uint64_t chance, uint64_t more) {
    put_hex(ids->next, chance);
    put_hex(ids->next + 16, more);
}

void request_ids_carry(struct request_ids *ids) {
    size_t i = REQUEST_ID_MADE;
    while (i && ids->next[i - 1] == 'f')
        ids->next[--i] = '0';
    if (i)
        ids->next[i - 1] = ids->next[i - 1] == '9' ? 'a' : (char)(ids->next[i - 1] + 1);
}
