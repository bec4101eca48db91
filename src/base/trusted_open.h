/* Opens files by paths that others than root may have changed.
 *
 * A process with the rights of root must not follow a link that somebody else has put in its way: it would write to, or
 * give away, a file of that one's choice. So symbolic links count only where root alone can have made them: in a
 * directory that belongs to root and that nobody else may write; or in one of root's with the sticky bit, such as /tmp,
 * if the link belongs to root too.
 *
 * Threads: any.
 */
#ifndef WSGI_FCGI_BASE_TRUSTED_OPEN_H
#define WSGI_FCGI_BASE_TRUSTED_OPEN_H

#include <stdbool.h>
#include <sys/types.h>

/* As open(2) with O_CREAT and `flags`, which have neither that nor O_EXCL. *made tells whether there was no file
 * before. Returns the descriptor; or -1 with errno: ELOOP where a link does not count, EMLINK where the file has a
 * further name, which somebody else may have given it. With another effective user than root it is open(2), and *made
 * is false: rights are those of that user anyway. */
int trusted_open(const char *path, int flags, mode_t mode, bool *made);

/* What to do about an errno of it that is about links: the end of a line, which begins with a colon. "" for others. */
const char *trusted_open_advice(int error);

#endif
