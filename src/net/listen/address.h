/* Parses and prints addresses of listening sockets.
 *
 *     /path dir/path name.sock unix:path  Unix socket file       PORT           127.0.0.1
 *     @name                               abstract Unix socket   :PORT *:PORT   every address of the machine
 *     HOST:PORT [IPV6]:PORT               TCP, name or number    fd:N           descriptor that was handed over
 *
 * Port 0 lets the system choose a free one. [::]:PORT is every IPv6 address, and leaves IPv4 to others.
 *
 * Threads: any, though address_parse and address_read block.
 */
#ifndef WSGI_FCGI_NET_LISTEN_ADDRESS_H
#define WSGI_FCGI_NET_LISTEN_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

enum {
    ADDRESS_TEXT_SIZE = 448, /* enough for a Unix socket path with every byte escaped */
    ADDRESS_REASON_SIZE = 384,
};

enum address_kind { ADDRESS_UNIX, ADDRESS_ABSTRACT, ADDRESS_TCP, ADDRESS_FD };

struct address {
    enum address_kind kind;
    int fd;        /* ADDRESS_FD: the descriptor; otherwise -1 */
    bool any;      /* ADDRESS_TCP: ":PORT", an IPv6 wildcard that must accept IPv4 too */
    socklen_t len; /* bytes of `sa` in use; 0 for ADDRESS_FD */
    struct sockaddr_storage sa;
};

/* Parses `text`. A host name may stand for several addresses: *list is an array of *count >= 1 of them, which the
 * caller frees with free(). Looks host names up, which blocks.
 *
 * Returns 0; or a sysexits status (EX_USAGE: not an address, EX_NOHOST: unknown host, EX_OSERR, EX_TEMPFAIL), with
 * *list NULL, *count 0, and `reason` saying in one line what is wrong and what to write instead. */
int address_parse(const char *text, struct address **list, size_t *count, char reason[static ADDRESS_REASON_SIZE]);

/* The same; logs what is wrong, with `source`, where the text was given, in front. */
int address_read(const char *source, const char *text, struct address **list, size_t *count);

/* The path in `text`, if address_parse reads `text` as a file; otherwise NULL. */
const char *address_path(const char *text);

/* Writes a socket address in the form that address_parse reads; "unnamed Unix socket" for a peer without a name. An
 * IPv4 address in IPv6 form is shown as IPv4. Bytes that are not printable are escaped. Returns `out`. Does not look
 * names up. */
const char *address_format(const struct sockaddr *sa, socklen_t len, char out[static ADDRESS_TEXT_SIZE]);

/* Writes the bytes that tell the peer with this address from others. The port does not count, and of IPv6 only the
 * first 64 bits do: who has one address there has all the others. An IPv4 address in IPv6 form counts as IPv4. Returns
 * the number of bytes: 0 for other families, whose peers all count as one. */
enum { ADDRESS_IDENTITY_SIZE = 8 };
size_t address_identity(const struct sockaddr *sa, socklen_t len, uint8_t out[static ADDRESS_IDENTITY_SIZE]);

#endif
