/* The first byte says how many descriptors come with a message, the others are its bytes. What is taken for a message
 * is sent again and is then the same; no descriptor is left behind. */
#include "config.h"

#include "ipc/control.h"

#include "base/descriptors.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { STANDARD_ERROR = 2 };

static void require(int holds) {
    if (!holds)
        abort();
}

static void check_again(const int *pair, const struct control_message *m) {
    struct control_message again;
    require(!control_send(pair[0], m));
    require(control_receive(pair[1], &again) == 1);
    require(again.type == m->type && again.slot == m->slot && again.a == m->a && again.b == m->b);
    require(!strcmp(again.text, m->text) && again.nfds == m->nfds);
    control_close_fds(&again);
}

/* The number that the next descriptor would get. */
static int lowest_free(void) {
    int fd = dup(STANDARD_ERROR);
    require(fd >= 0 && !close(fd));
    return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const int fds[FD_SOCKET_FDS] = {STANDARD_ERROR, STANDARD_ERROR, STANDARD_ERROR, STANDARD_ERROR};
    int pair[2];
    struct control_message m;
    if (!size)
        return 0;
    require(!fd_socket_pair(pair));
    struct iovec part = {.iov_base = (void *)(uintptr_t)(data + 1), .iov_len = size - 1};
    const int lowest = lowest_free();
    if (!fd_socket_send(pair[0], &part, 1, fds, data[0] % (FD_SOCKET_FDS + 1))) {
        if (control_receive(pair[1], &m) == 1) {
            check_again(pair, &m);
            control_close_fds(&m);
        }
        require(!m.nfds && lowest_free() == lowest);
    }
    descriptors_close(pair[0]);
    descriptors_close(pair[1]);
    return 0;
}
