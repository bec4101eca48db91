/* What becomes of a request whose framing llhttp reads in another way than the fields say: here llhttp is made to. */
#include "config.h"

#include "proto/http_head.h"

#include "unit/unit.h"

#include <llhttp.h>
#include <stdio.h>

/* What llhttp says at the end of the fields, instead of what it has found. */
static struct {
    unsigned clear, set;
    int64_t length; /* -1: as found */
} forged;

static llhttp_cb own_complete;
static llhttp_settings_t forging;

static int forge(llhttp_t *llhttp) {
    llhttp->flags = (uint16_t)((llhttp->flags & ~forged.clear) | forged.set);
    if (forged.length >= 0)
        llhttp->content_length = (uint64_t)forged.length;
    return own_complete(llhttp);
}

void __real_llhttp_init(llhttp_t *llhttp, llhttp_type_t type, const llhttp_settings_t *settings);
void __wrap_llhttp_init(llhttp_t *llhttp, llhttp_type_t type, const llhttp_settings_t *settings);

void __wrap_llhttp_init(llhttp_t *llhttp, llhttp_type_t type, const llhttp_settings_t *settings) {
    forging = *settings;
    own_complete = settings->on_headers_complete;
    forging.on_headers_complete = forge;
    __real_llhttp_init(llhttp, type, &forging);
}

#define CHUNKED "Transfer-Encoding: chunked\r\n"
#define LENGTH "Content-Length: 5\r\n"

static const struct {
    const char *fields;
    unsigned clear, set;
    int64_t length;
    bool good;
} readings[] = {
    {CHUNKED, 0, 0, -1, true},
    {LENGTH, 0, 0, -1, true},
    {"", 0, 0, -1, true},
    {"Content-Length: 0\r\n", 0, 0, -1, true},
    {"Content-Length: 0005\r\n", 0, 0, 5, true},
    /* One side has chunks. */
    {CHUNKED, F_CHUNKED | F_TRANSFER_ENCODING, 0, -1, false},
    {"", 0, F_CHUNKED, -1, false},
    {LENGTH, 0, F_CHUNKED, -1, false},
    /* One side has a length, or another one. */
    {LENGTH, F_CONTENT_LENGTH, 0, -1, false},
    {LENGTH, F_CONTENT_LENGTH, 0, 0, false},
    {LENGTH, 0, 0, 6, false},
    {LENGTH, 0, 0, 0, false},
    {"", 0, F_CONTENT_LENGTH, 0, false},
    {"", 0, 0, 5, false},
    {CHUNKED, 0, F_CONTENT_LENGTH, 0, false},
    {CHUNKED, 0, 0, 5, false},
};

START_TEST(reading)
{
    char text[256], params[2048];
    struct http_head head;
    struct http_body body;
    struct http_refusal refusal = {NULL, NULL};
    size_t nparams;
    int n = snprintf(text, sizeof text, "POST / HTTP/1.1\r\nHost: a\r\n%s\r\n", readings[_i].fields);
    forged.clear = readings[_i].clear;
    forged.set = readings[_i].set;
    forged.length = readings[_i].length;
    bool good = http_parse_head(text, (size_t)n, &head, params, &nparams, &body, &refusal);
    ck_assert_int_eq(good, readings[_i].good);
    if (!good) {
        ck_assert_str_eq(refusal.status, "400 Bad Request");
        ck_assert_str_eq(refusal.why, "the parser reads Transfer-Encoding or Content-Length in another way");
    }
}
END_TEST

int main(void) {
    TCase *tcase = tcase_create("readings");
    tcase_add_loop_test(tcase, reading, 0, COUNT(readings));
    Suite *suite = suite_create("http framing");
    suite_add_tcase(suite, tcase);
    return unit_run(suite);
}
