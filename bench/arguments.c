/* Arguments of benchmarks. */
#include "arguments.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

uint64_t argument_number(const char *text, uint64_t most, const struct argp_state *state)
{
    char *end;
    unsigned long long value = strtoull(text, &end, 10);

    if (text[0] < '0' || text[0] > '9' || *end != '\0' || value < 1 || value > most)
        argp_error(state, "%s is not a number from 1 to %" PRIu64, text, most);
    return value;
}

const char *argument_transport(const char *text, const struct argp_state *state)
{
    if (strcmp(text, "tcp") != 0 && strcmp(text, "ipc") != 0)
        argp_error(state, "a transport is tcp or ipc");
    return text;
}
