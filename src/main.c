#include "config.h"

#include "process/program.h"
#include "process/title.h"
#include "python/interp_start.h"

int main(int argc, char **argv) {
    title_init(argc, argv);
    return program_main(argc, argv, &interp_embedded);
}
