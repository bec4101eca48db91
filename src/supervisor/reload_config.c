#include "config.h"

#include "supervisor/reload_config.h"

#include "cli/config_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int reload_config_read(const char *path, char why[static RELOAD_CONFIG_WHY_SIZE]) {
    struct config_file config;
    int fd = -1;
    if (config_file_read(&config, path))
        snprintf(why, RELOAD_CONFIG_WHY_SIZE, "the configuration file cannot be read");
    else if ((fd = config_file_seal(&config)) < 0)
        snprintf(why, RELOAD_CONFIG_WHY_SIZE, "cannot keep the configuration file in memory (memfd_create): %s",
                 strerror(errno));
    else
        config_file_warn(&config);
    config_file_fini(&config);
    return fd;
}

int reload_config_announce(int fd) {
    char value[16];
    snprintf(value, sizeof value, "%d", fd);
    return fd >= 0 && setenv(CONFIG_FILE_ENV, value, 1) ? errno : 0;
}

void reload_config_keep(int fd) {
    if (fd >= 0)
        fcntl(fd, F_SETFD, 0);
}

void reload_config_withdraw(void) {
    unsetenv(CONFIG_FILE_ENV);
}

void reload_config_close(int *fd) {
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}
