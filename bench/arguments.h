/* Arguments that several benchmarks take. A wrong one ends the program with a line that says what is allowed.
 */
#ifndef CAIRN_BENCH_ARGUMENTS_H
#define CAIRN_BENCH_ARGUMENTS_H

#include <argp.h>
#include <stdint.h>

/* A whole number from 1 to `most`. */
uint64_t argument_number(const char *text, uint64_t most, const struct argp_state *state);

/* "tcp" or "ipc", which is returned as it is. */
const char *argument_transport(const char *text, const struct argp_state *state);

#endif
