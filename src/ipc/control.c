#include "config.h"

#include "ipc/control.h"

#include "base/descriptors.h"

#include <errno.h>
#include <string.h>

/* As it is sent, in the byte order of the machine; the text follows, without a zero behind it. */
struct wire {
    uint32_t magic;
    uint32_t type;
    uint32_t slot;
    uint32_t text_length;
    uint64_t a, b;
};

static const uint32_t MAGIC = 0x77666331; /* "wfc1" */

int control_send(int socket, const struct control_message *m) {
    struct wire wire = {.magic = MAGIC, .type = m->type, .slot = m->slot, .a = m->a, .b = m->b};
    wire.text_length = (uint32_t)strnlen(m->text, sizeof m->text);
    struct iovec parts[] = {{&wire, sizeof wire}, {(void *)(uintptr_t)m->text, wire.text_length}};
    return fd_socket_send(socket, parts, 2, m->fds, m->nfds);
}

static int no_message(struct control_message *m) {
    control_close_fds(m);
    errno = EPROTO;
    return -1;
}

int control_receive(int socket, struct control_message *m) {
    char buf[sizeof(struct wire) + CONTROL_TEXT_SIZE];
    struct wire wire;
    ssize_t n = fd_socket_receive(socket, buf, sizeof buf, m->fds, &m->nfds);
    if (n <= 0)
        return (int)n;
    if ((size_t)n < sizeof wire)
        return no_message(m);
    memcpy(&wire, buf, sizeof wire);
    size_t length = (size_t)n - sizeof wire;
    if (wire.magic != MAGIC || wire.text_length != length || length >= sizeof m->text)
        return no_message(m);
    m->type = (enum control_type)wire.type;
    m->slot = wire.slot;
    m->a = wire.a;
    m->b = wire.b;
    memcpy(m->text, buf + sizeof wire, length);
    m->text[length] = '\0';
    return 1;
}

void control_close_fds(struct control_message *m) {
    for (unsigned i = 0; i < m->nfds; i++) {
        if (m->fds[i] >= 0)
            descriptors_close(m->fds[i]);
    }
    m->nfds = 0;
}
