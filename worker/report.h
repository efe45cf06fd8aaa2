/* What the step thread reports, said to the coordinator: struct step_report as control messages. Main thread
 * only. */
#ifndef CAIRN_WORKER_REPORT_H
#define CAIRN_WORKER_REPORT_H

#include "cluster/member.h"
#include "step.h"

/* Sends a report about a job's incarnation. Errors: those of member_send. */
enum status report_send(struct member *member, uint64_t job, uint64_t incarnation,
                        const struct step_report *report, struct error *error) MUST_CHECK;

/* Sends Failed with a line, for what fails before there is a step thread. */
enum status report_send_failure(struct member *member, uint64_t job, uint64_t incarnation, const char *line,
                                struct error *error) MUST_CHECK;

#endif
