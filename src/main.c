#include "config.h"

#include "base/log.h"
#include "cli/options.h"
#include "process/serve.h"
#include "process/standard_files.h"

int main(int argc, char **argv) {
    struct options o;
    int status = standard_files_open();
    if (status)
        return status;
    status = options_parse(&o, argc, argv);
    if (status < 0) {
        log_max_level = o.log_level;
        status = o.version ? serve_print_version() : serve(&o, argv[0]);
    }
    options_fini(&o);
    return status;
}
