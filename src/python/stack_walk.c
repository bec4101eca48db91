#include "config.h"

#include <Python.h>

#include "python/stack_walk.h"

#include "base/log.h"
#include "base/own_memory.h"

#include <string.h>

enum {
    GENERATOR = 1,      /* FRAME_OWNED_BY_GENERATOR of all versions */
    UNIT = 2,           /* bytes of an instruction, PEP 626 and 659 */
    REPEATED_SHOWN = 3, /* of frames that are the same, as Python shows them */
    LEFT_OUT_SIZE = 48  /* of the line about frames that have no room */
};

bool stack_copy(void *to, uintptr_t from, size_t n) {
    return from && own_memory_copy(to, (const void *)from, n);
}

static uintptr_t word_at(const unsigned char *bytes, size_t offset) {
    uintptr_t word;
    memcpy(&word, bytes + offset, sizeof word);
    return word;
}

static bool read_word(uintptr_t from, uintptr_t *word) {
    return stack_copy(word, from, sizeof *word);
}

/* An object of exactly this type, with a size. Objects of classes that inherit from it are not expected where it is
 * asked for. */
static bool read_object(uintptr_t object, const PyTypeObject *type, PyVarObject *out) {
    return !(object & (sizeof(void *) - 1)) && stack_copy(out, object, sizeof *out) && Py_TYPE(out) == type;
}

/* The instructions that the frame runs: those of the code object, or the thread's own copy. */
static bool read_instructions(const struct stack_layout *layout, const unsigned char *frame, uintptr_t code,
                              uintptr_t *first) {
    uintptr_t array, size;
    int32_t index;
    *first = code + layout->code.instructions;
    if (!layout->is_threaded)
        return true;
    memcpy(&index, frame + layout->frame.threaded, sizeof index);
    if (!index)
        return true;
    return read_word(code + layout->code.threaded, &array) && read_word(array, &size) && index > 0 &&
           (uintptr_t)index < size && read_word(array + sizeof size + (uintptr_t)index * sizeof *first, first);
}

/* One that has not begun may stand right before its first instruction (until 3.12). */
static bool read_frame(const struct stack_layout *layout, const unsigned char *frame, struct stack_frame *out) {
    PyVarObject head;
    uintptr_t first;
    out->code = word_at(frame, layout->frame.code) & ~layout->frame.code_bits;
    if (!read_object(out->code, &PyCode_Type, &head) || !read_instructions(layout, frame, out->code, &first))
        return false;
    out->offset = (int64_t)(word_at(frame, layout->frame.instruction) - first);
    return out->offset >= -UNIT && out->offset < (int64_t)Py_SIZE(&head) * UNIT && out->offset % UNIT == 0;
}

/* Whether the interpreter's loop was called for this frame, and has a box of its own if there are boxes. */
static bool is_entry(const struct stack_layout *layout, const unsigned char *frame) {
    return layout->frame.entry ? frame[layout->frame.entry] != 0
                               : frame[layout->frame.owner] >= layout->frame.owner_none;
}

/* The innermost frame is none of those that were left: such a one is where the next will be. Those of generators are
 * elsewhere. */
static bool is_in_use(const struct stack_layout *layout, const void *state, uintptr_t at, unsigned char owner) {
    uintptr_t chunk, top;
    return !layout->boxed || owner != 0 ||
           (read_word((uintptr_t)state + layout->state_chunk, &chunk) &&
            read_word((uintptr_t)state + layout->state_top, &top) && at > chunk && at < top);
}

/* The box around this one has the frame before: that is what tells a frame that is not filled in yet. */
static bool leave_box(const struct stack_layout *layout, uintptr_t *box, uintptr_t previous) {
    uintptr_t frame;
    return read_word(*box + layout->box_previous, box) && *box && read_word(*box + layout->box_frame, &frame) &&
           frame == previous;
}

bool stack_walk(const struct stack_layout *layout, const void *state, struct stack_walk *walk) {
    unsigned char frame[STACK_FRAME_SIZE];
    uintptr_t at, seen = 0, box = 0;
    bool based = true;
    walk->count = 0;
    walk->cut = walk->detached = walk->fresh = false;
    if (!read_word((uintptr_t)state + layout->state_frame, &at))
        return false;
    if (layout->boxed) {
        box = at;
        if (!read_word(box + layout->box_frame, &at))
            return false;
    }
    /* A frame that is met again was noted at some power of two, or will be. */
    for (unsigned hops = 0; at; hops++) {
        if (walk->count == walk->most || hops == 2 * STACK_FRAMES_MAX) {
            walk->cut = true;
            break;
        }
        if (at == seen || at & (sizeof(void *) - 1) || !stack_copy(frame, at, layout->frame.size))
            return false;
        if (!(hops & (hops - 1)))
            seen = at;
        unsigned char owner = frame[layout->frame.owner];
        if (owner > layout->frame.owner_none + 1)
            return false;
        based = is_entry(layout, frame);
        walk->detached = owner == GENERATOR;
        if (owner < layout->frame.owner_none) {
            struct stack_frame *found = &walk->frames[walk->count++];
            found->at = at;
            if (!read_frame(layout, frame, found))
                return false;
            if (!hops && !is_in_use(layout, state, at, owner))
                return false;
            if (walk->count == 1)
                walk->fresh = found->offset == layout->frame.first;
        }
        at = word_at(frame, layout->frame.previous);
        if (layout->boxed && based && !leave_box(layout, &box, at))
            return false;
    }
    return based || walk->cut;
}

bool stack_walk_is_same(const struct stack_walk *a, const struct stack_walk *b) {
    bool same = a->count == b->count && a->cut == b->cut;
    for (unsigned i = 0; same && i < a->count; i++)
        same = a->frames[i].at == b->frames[i].at && a->frames[i].code == b->frames[i].code &&
               a->frames[i].offset == b->frames[i].offset;
    return same;
}

/* Lines. Objects/locations.md (InternalDocs/code_objects.md) of CPython describes co_linetable: entries, each for some
 * instructions, whose first byte alone has its highest bit set, then what the line differs by from the one before. */

/* A byte string that is read in pieces. */
struct bytes {
    uintptr_t next;
    size_t left;
    unsigned char piece[256];
    unsigned at, have;
};

static bool bytes_open(struct bytes *b, uintptr_t object) {
    PyVarObject head;
    if (!read_object(object, &PyBytes_Type, &head) || Py_SIZE(&head) < 0)
        return false;
    *b = (struct bytes){.next = object + offsetof(PyBytesObject, ob_sval), .left = (size_t)Py_SIZE(&head)};
    return true;
}

/* The next byte, which stays; -1: there is none. */
static int bytes_peek(struct bytes *b) {
    if (b->at == b->have) {
        b->have = (unsigned)(b->left < sizeof b->piece ? b->left : sizeof b->piece);
        b->at = 0;
        if (!b->have || !stack_copy(b->piece, b->next, b->have)) {
            b->left = b->have = 0;
            return -1;
        }
        b->next += b->have;
        b->left -= b->have;
    }
    return b->piece[b->at];
}

static int bytes_next(struct bytes *b) {
    int byte = bytes_peek(b);
    b->at += byte >= 0;
    return byte;
}

/* Six bits a byte, the lowest first; one more byte follows when bit 6 is set. The lowest bit of all is the sign. */
static int64_t read_signed(struct bytes *b) {
    uint64_t number = 0;
    int byte, shift = 0;
    do {
        byte = bytes_next(b);
        number |= byte >= 0 && shift < 60 ? (uint64_t)(byte & 63) << shift : 0;
        shift += 6;
    } while (byte >= 0 && byte & 64);
    return number & 1 ? -(int64_t)(number >> 1) : (int64_t)(number >> 1);
}

/* How much the line differs. */
static int64_t read_difference(struct bytes *b, int kind) {
    switch (kind) {
    case 10:
    case 11:
    case 12: /* a line, within the next two */
        return kind - 10;
    case 13: /* without columns */
    case 14: /* anything */
        return read_signed(b);
    default: /* the same line; or 15, none */
        return 0;
    }
}

enum { NO_LINE = 15 };

static int32_t firstlineno_of(const struct stack_layout *layout, const unsigned char *code) {
    int32_t first;
    memcpy(&first, code + layout->code.firstlineno, sizeof first);
    return first;
}

/* The line of the instruction. Returns false when the table is not one. *line is 0 when it has none. */
static bool find_line(const struct stack_layout *layout, const unsigned char *code, int64_t offset, int *line) {
    struct bytes table;
    int64_t at = firstlineno_of(layout, code), end = 0;
    *line = (int)at;
    if (!bytes_open(&table, word_at(code, layout->code.linetable)))
        return false;
    while (offset >= end) {
        int byte = bytes_next(&table);
        if (byte < 0)
            return false;
        if (!(byte & 128)) /* columns */
            continue;
        int kind = byte >> 3 & 15;
        end += (int64_t)((byte & 7) + 1) * UNIT;
        at += read_difference(&table, kind);
        *line = kind == NO_LINE || at < 1 || at > INT32_MAX ? 0 : (int)at;
    }
    return true;
}

/* Names. */

static size_t put_character(char *out, uint32_t c) {
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (c >= 0xdc80 && c <= 0xdcff) { /* a byte of a file's name that was no character (PEP 383) */
        out[0] = (char)(c - 0xdc00);
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xc0 | c >> 6);
        out[1] = (char)(0x80 | (c & 63));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (char)(0xe0 | c >> 12);
        out[1] = (char)(0x80 | (c >> 6 & 63));
        out[2] = (char)(0x80 | (c & 63));
        return 3;
    }
    out[0] = (char)(0xf0 | (c >> 18 & 7));
    out[1] = (char)(0x80 | (c >> 12 & 63));
    out[2] = (char)(0x80 | (c >> 6 & 63));
    out[3] = (char)(0x80 | (c & 63));
    return 4;
}

static uint32_t character_at(const unsigned char *raw, unsigned kind, size_t i) {
    uint16_t two;
    uint32_t four;
    if (kind == PyUnicode_1BYTE_KIND)
        return raw[i];
    if (kind == PyUnicode_2BYTE_KIND) {
        memcpy(&two, raw + 2 * i, sizeof two);
        return two;
    }
    memcpy(&four, raw + 4 * i, sizeof four);
    return four;
}

/* What is not shown of a longer name is told by "...". */
static bool read_name(uintptr_t object, struct stack_scratch *scratch, char *out, size_t size) {
    PyCompactUnicodeObject text;
    PyVarObject head;
    size_t length, n = 0;
    memset(&text, 0, sizeof text);
    if (!read_object(object, &PyUnicode_Type, &head) || !stack_copy(&text, object, sizeof(PyASCIIObject)))
        return false;
    const PyASCIIObject *ascii = &text._base;
    unsigned kind = ascii->state.kind;
    if (!ascii->state.compact || ascii->length < 0 ||
        (kind != PyUnicode_1BYTE_KIND && kind != PyUnicode_2BYTE_KIND && kind != PyUnicode_4BYTE_KIND))
        return false;
    length = (size_t)ascii->length < STACK_NAME_MAX ? (size_t)ascii->length : STACK_NAME_MAX;
    object += ascii->state.ascii ? sizeof(PyASCIIObject) : sizeof(PyCompactUnicodeObject);
    if (length && !stack_copy(scratch->raw, object, length * kind))
        return false;
    for (size_t i = 0; i < length; i++)
        n += put_character(scratch->utf8 + n, character_at(scratch->raw, kind, i));
    log_escape(out, size, scratch->utf8, n);
    return true;
}

/* Text. */

static size_t put(char *out, size_t size, size_t n, const char *text) {
    size_t length = strlen(text);
    if (n < size)
        memcpy(out + n, text, length < size - n ? length : size - n);
    return n + length;
}

static size_t put_number(char *out, size_t size, size_t n, unsigned number) {
    char digits[12], *p = digits + sizeof digits - 1;
    *p = '\0';
    do {
        *--p = (char)('0' + number % 10);
        number /= 10;
    } while (number);
    return put(out, size, n, p);
}

size_t stack_entry(char *out, size_t size, const char *file, int line, const char *function) {
    size_t n = put(out, size, put(out, size, 0, "  File \""), file);
    n = put(out, size, n, "\", line ");
    n = line > 0 ? put_number(out, size, n, (unsigned)line) : put(out, size, n, "?");
    n = put(out, size, put(out, size, put(out, size, n, ", in "), function), "\n");
    if (size)
        out[n < size ? n : size - 1] = '\0';
    return n;
}

/* Text that grows towards its beginning, since the innermost frames are the last, and come first. */
struct upwards {
    char *begin, *at;
};

static bool put_before(struct upwards *text, const char *what, size_t n) {
    if ((size_t)(text->at - text->begin) < n)
        return false;
    text->at -= n;
    memcpy(text->at, what, n);
    return true;
}

/* `times` the same frame. Returns false when there is no room. */
static bool put_frames(struct upwards *text, const char *entry, size_t n, unsigned times) {
    char more[64];
    unsigned shown = times < REPEATED_SHOWN ? times : REPEATED_SHOWN, rest = times - shown;
    size_t length = put_number(more, sizeof more, put(more, sizeof more, 0, "  [Previous line repeated "), rest);
    length = put(more, sizeof more, length, rest == 1 ? " more time]\n" : " more times]\n");
    if ((size_t)(text->at - text->begin) < n * shown + length)
        return false;
    if (rest)
        put_before(text, more, length);
    for (; shown; shown--)
        put_before(text, entry, n);
    return true;
}

static void put_left_out(struct upwards *text, unsigned left_out, bool cut) {
    char line[LEFT_OUT_SIZE];
    size_t n = put(line, sizeof line, 0, cut ? "  ... more than " : "  ... ");
    n = put_number(line, sizeof line, n, left_out);
    n = put(line, sizeof line, n, left_out == 1 && !cut ? " frame left out\n" : " frames left out\n");
    if (left_out)
        put_before(text, line, n);
    else if (cut)
        put_before(text, "  ...\n", 6);
}

/* Frames that Python itself does not show are of bytecode of its own (since 3.12), which has no lines and no file. */
static bool is_shown(const struct stack_scratch *scratch, int line) {
    const char *file = scratch->file;
    return line || (file[0] && strcmp(file, "<shim>") != 0 && strcmp(file, scratch->function) != 0);
}

/* Where the entry of this frame is kept, or would be. */
static struct stack_known *find_known(const struct stack_scratch *scratch, const struct stack_frame *frame) {
    const uintptr_t key = frame->code / 16 + (uintptr_t)frame->offset;
    return scratch->known ? &scratch->known[(key ^ key / STACK_KNOWN) % STACK_KNOWN] : NULL;
}

/* What an entry is made of, besides the code object `code` that has just been read. Returns false when one of them is
 * none, or it is more than is kept of. */
static bool find_sources(const struct stack_layout *layout, const unsigned char *code,
                         struct iovec sources[static STACK_SOURCES]) {
    const size_t names[] = {layout->code.filename, layout->code.qualname};
    uintptr_t object = word_at(code, layout->code.linetable);
    PyVarObject head;
    PyASCIIObject name;
    if (!read_object(object, &PyBytes_Type, &head) || Py_SIZE(&head) < 0 || Py_SIZE(&head) > STACK_SOURCES_SIZE)
        return false;
    sources[0] = (struct iovec){(void *)object, offsetof(PyBytesObject, ob_sval) + (size_t)Py_SIZE(&head)};
    size_t all = sources[0].iov_len;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        object = word_at(code, names[i]);
        if (!stack_copy(&name, object, sizeof name) || name.length < 0 || name.length > STACK_SOURCES_SIZE)
            return false;
        sources[1 + i].iov_base = (void *)object;
        sources[1 + i].iov_len = (name.state.ascii ? sizeof(PyASCIIObject) : sizeof(PyCompactUnicodeObject)) +
                                 (size_t)name.length * name.state.kind;
        all += sources[1 + i].iov_len;
    }
    return all <= STACK_SOURCES_SIZE;
}

/* A sum of all that is there, but of the counts of references (FNV-1a). Returns false when it is not there. */
static bool add_up(struct stack_scratch *scratch, const struct iovec sources[static STACK_SOURCES], uint64_t *sum) {
    const unsigned char *at = scratch->sources;
    if (!own_memory_gather(scratch->sources, sources, STACK_SOURCES))
        return false;
    *sum = UINT64_C(14695981039346656037);
    for (unsigned i = 0; i < STACK_SOURCES; at += sources[i++].iov_len)
        for (size_t k = offsetof(PyObject, ob_type); k < sources[i].iov_len; k++)
            *sum = (*sum ^ at[k]) * UINT64_C(1099511628211);
    return true;
}

/* Whether the frame is one of this code object that was written before, and which holds. */
static bool is_known(const struct stack_layout *layout, const struct stack_known *known,
                     const struct stack_frame *frame, struct stack_scratch *scratch) {
    const size_t places[STACK_SOURCES] = {layout->code.linetable, layout->code.filename, layout->code.qualname};
    uint64_t sum;
    if (!known || known->code != frame->code || known->offset != frame->offset ||
        known->firstlineno != firstlineno_of(layout, scratch->code))
        return false;
    for (unsigned i = 0; i < STACK_SOURCES; i++)
        if ((uintptr_t)known->sources[i].iov_base != word_at(scratch->code, places[i]))
            return false;
    return add_up(scratch, known->sources, &sum) && sum == known->sum;
}

/* Writes the entry of the code object that has just been read. */
static bool write_entry(const struct stack_layout *layout, int64_t offset, struct stack_scratch *scratch, char *entry,
                        size_t *n) {
    int line;
    const unsigned char *code = scratch->code;
    if (!find_line(layout, code, offset, &line) ||
        !read_name(word_at(code, layout->code.filename), scratch, scratch->file, sizeof scratch->file) ||
        !read_name(word_at(code, layout->code.qualname), scratch, scratch->function, sizeof scratch->function))
        return false;
    *n =
        is_shown(scratch, line) ? stack_entry(entry, sizeof scratch->entry, scratch->file, line, scratch->function) : 0;
    return true;
}

/* Reads one into `entry`, of the size of scratch->entry. Its length in *n: 0 for one that is not shown. What may have
 * changed while it was read is not kept. */
static bool read_entry(const struct stack_layout *layout, const struct stack_frame *frame,
                       struct stack_scratch *scratch, char *entry, size_t *n) {
    struct stack_known *known = find_known(scratch, frame);
    struct iovec sources[STACK_SOURCES];
    uint64_t before, after;
    if (!stack_copy(scratch->code, frame->code, layout->code.instructions))
        return false;
    if (is_known(layout, known, frame, scratch)) {
        *n = known->n;
        memcpy(entry, known->entry, known->n);
        return true;
    }
    bool keeps = known && find_sources(layout, scratch->code, sources) && add_up(scratch, sources, &before);
    if (!write_entry(layout, frame->offset, scratch, entry, n))
        return false;
    if (keeps && *n <= sizeof known->entry && add_up(scratch, sources, &after) && before == after) {
        known->code = frame->code;
        known->offset = frame->offset;
        known->firstlineno = firstlineno_of(layout, scratch->code);
        memcpy(known->sources, sources, sizeof sources);
        known->sum = after;
        known->n = *n;
        memcpy(known->entry, entry, *n);
    }
    return true;
}

/* How many frames from this one on are the same: at least those at the same instruction. `entry` is the first one's. Returns
 * 0 when one cannot be read. */
static unsigned count_same(const struct stack_layout *layout, const struct stack_walk *walk, unsigned first,
                           struct stack_scratch *scratch, size_t n) {
    unsigned i;
    for (i = first + 1; i < walk->count; i++) {
        const struct stack_frame *frame = &walk->frames[i];
        size_t length;
        if (frame->code != frame[-1].code)
            break;
        if (frame->offset == frame[-1].offset)
            continue;
        if (!read_entry(layout, frame, scratch, scratch->other, &length))
            return 0;
        if (length != n || memcmp(scratch->other, scratch->entry, n) != 0)
            break;
    }
    return i - first;
}

int stack_text(const struct stack_layout *layout, const struct stack_walk *walk, struct stack_scratch *scratch,
               char *out, size_t size) {
    struct upwards text = {.begin = out + LEFT_OUT_SIZE, .at = out + size - 1};
    unsigned found = 0, left_out = 0;
    out[size - 1] = '\0';
    for (unsigned i = 0, times; i < walk->count; i += times) {
        size_t n = 1;
        times = 1;
        if (!left_out) {
            if (!read_entry(layout, &walk->frames[i], scratch, scratch->entry, &n))
                return -1;
            times = count_same(layout, walk, i, scratch, n);
            if (!times)
                return -1;
        }
        if (left_out || (n && !put_frames(&text, scratch->entry, n, times)))
            left_out += times;
        found += n ? times : 0;
    }
    text.begin = out;
    put_left_out(&text, left_out, walk->cut);
    memmove(out, text.at, (size_t)(out + size - text.at));
    return (int)found;
}
