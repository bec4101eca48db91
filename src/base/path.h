/* Names of files. Any thread. */
#ifndef WSGI_FCGI_BASE_PATH_H
#define WSGI_FCGI_BASE_PATH_H

/* `path`, with `directory` in front of it when it is relative and that is known (not NULL). Returns new memory, or NULL with errno. */
char *path_absolute(const char *directory, const char *path);

#endif
