/* How a job's end is told to people and scripts. Main thread. */
#ifndef CAIRN_CLI_REPORT_H
#define CAIRN_CLI_REPORT_H

#include "job.pb-c.h"

#include <stdbool.h>

/* Prints what came of a job that has ended: a JSON line, or lines for people. What went wrong is one line on
 * stderr. Returns EXIT_DONE when the job is complete with its model file, else EXIT_FAILED. */
int report_end(const char *program, const Cairn__JobStatus *status, bool json);

/* The lines for people alone, on stdout. */
void report_print(const Cairn__JobStatus *status);

#endif
