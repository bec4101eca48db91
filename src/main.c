#include "config.h"

#include "process/program.h"
#include "python/interp_start.h"

int main(int argc, char **argv) {
    return program_main(argc, argv, &interp_embedded);
}
