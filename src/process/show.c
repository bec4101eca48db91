#include "config.h"

#include "process/show.h"

#include "base/log.h"
#include "net/lane.h"
#include "python/interp.h"
#include "python/wsgi/wsgi.h"

#include <errno.h>
#include <ev.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

static int flush_output(void) {
    if (!fflush(stdout))
        return 0;
    log_error("cannot write to standard output: %s", strerror(errno));
    return EX_OSERR;
}

int show_version(void) {
    char python[128];
    interp_describe(python, sizeof python);
    printf("wsgi-fcgi %s\n%s\nlibev %d.%d (%s)\nbuild options: %s\n", PACKAGE_VERSION, python, ev_version_major(),
           ev_version_minor(), lane_backend_name(), WSGI_FCGI_BUILD_OPTIONS);
    return flush_output();
}

int show_check(const struct sockets *sockets, const struct pylane *python, const char *cwd) {
    char version[256], application[512];
    interp_describe(version, sizeof version);
    wsgi_describe(python, application, sizeof application);
    printf("%s\napplication: %s\ndirectory: %s\n", version, application, cwd);
    static const char *const protocols[] = {
        [LISTENER_FASTCGI] = "", [LISTENER_HTTP] = "HTTP, ", [LISTENER_STATUS] = "status page, "};
    for (size_t i = 0; i < sockets->wanted_count; i++)
        printf("socket: %s (%snot opened)\n", sockets->wanted[i].text, protocols[sockets->wanted[i].protocol]);
    printf("ok\n");
    return flush_output();
}
