/* File names. Threads: any. */
#ifndef WSGI_FCGI_BASE_PATH_H
#define WSGI_FCGI_BASE_PATH_H

/* Returns `path` in new memory, with `directory` in front if the path is relative and `directory` is not NULL. Returns
 * NULL with errno on failure. */
char *path_absolute(const char *directory, const char *path);

/* The same without parts that are empty or ".", with the part in front of each ".." taken off, and no slash at its end:
 * "" is the root. Links are not followed. */
char *path_clean(const char *directory, const char *path);

#endif
