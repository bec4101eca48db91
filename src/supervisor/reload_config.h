/* The configuration file at a reload: read anew once, so that the program that is checked and the one that is executed
 * have the same bytes, whatever becomes of the file in between (cli/config_file.h).
 *
 * Threads: the main thread.
 */
#ifndef WSGI_FCGI_SUPERVISOR_RELOAD_CONFIG_H
#define WSGI_FCGI_SUPERVISOR_RELOAD_CONFIG_H

enum { RELOAD_CONFIG_WHY_SIZE = 128 };

/* Reads the file into sealed memory. Returns a descriptor of that, close-on-exec; or -1 with the reason in `why`, what
 * is wrong with the file itself being logged, as are warnings about it (config_file_warn). */
int reload_config_read(const char *path, char why[static RELOAD_CONFIG_WHY_SIZE]);

/* Puts CONFIG_FILE_ENV into the environment, for a program that is executed next and gets the descriptor; fd -1: there
 * is no file, and nothing is put. Returns an errno, or 0. */
int reload_config_announce(int fd);

/* Leaves the descriptor, if there is one, to the program that this process executes. */
void reload_config_keep(int fd);

/* Removes the variable. */
void reload_config_withdraw(void);

/* Closes the descriptor, if there is one, and makes it -1. */
void reload_config_close(int *fd);

#endif
