/* Whatever is given as a format is compiled, or one part of it is named as wrong; what the steps point to is within
 * bounds.
 */
#include "config.h"

#include "proto/access_format.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_bounds(struct slice s, const char *text, size_t len, const struct access_format *f) {
    const char *const own = f->text;
    if (s.n && !(s.p >= own && s.p + s.n <= own + f->ntext) && !(s.p >= text && s.p + s.n <= text + len) &&
        s.n >= ACCESS_NAME_MAX)
        abort();
    for (size_t i = 0; i < s.n; i++) {
        if (!s.p[i])
            abort();
    }
}

static void check(const struct access_format *f, const char *text, size_t len) {
    if (!f->count || f->count > ACCESS_STEPS || f->nparams > ACCESS_PARAMS || f->ntext > ACCESS_TEXT_SIZE)
        abort();
    for (unsigned i = 0; i < f->count; i++) {
        const struct access_step *step = &f->steps[i];
        if (step->field >= ACCESS_FIELD_COUNT || (f->nparams && step->param >= f->nparams) || !f->uses[step->field])
            abort();
        check_bounds(step->before, text, len, f);
        check_bounds(step->name, text, len, f);
    }
    check_bounds(f->after, text, len, f);
    for (unsigned i = 0; i < f->nparams; i++) {
        check_bounds(f->params[i], text, len, f);
        if (!f->params[i].n || f->params[i].n > ACCESS_NAME_MAX || !(f->lengths >> f->params[i].n & 1))
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct access_format f;
    struct access_error error;
    char *text = malloc(size + 1);
    if (!text)
        abort();
    memcpy(text, data, size);
    text[size] = '\0';
    const size_t len = strlen(text);
    if (!access_format_compile(&f, text, &error))
        check(&f, text, len);
    else if (error.at > len || error.what.n > len - error.at || error.what.p != text + error.at)
        abort();
    free(text);
    return 0;
}
