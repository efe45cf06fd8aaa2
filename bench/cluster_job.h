/* A tables job on the servers of a crew, as a coordinator would have made it: shard threads as they ship, one
 * a server process, and sessions to them. For benchmarks of the data plane alone. */
#ifndef CAIRN_BENCH_CLUSTER_JOB_H
#define CAIRN_BENCH_CLUSTER_JOB_H

#include "crew.h"

#include "assignment.h"
#include "session.h"

/* Serves the job of this text (its table i has the number TABLE_FIRST_USER + i) until the process is killed;
 * for crew_roles' serve. */
enum status cluster_job_serve(const struct crew_place *place, const char *text,
                              struct error *error) MUST_CHECK;

/* A session with a ZeroMQ context of its own to all tables of the job, whose assignment is given too.
 * Owns: both live as long as the process. */
enum status cluster_job_connect(const struct crew_place *place, const char *text,
                                const struct session_events *events, struct session **session,
                                struct assignment **assignment, struct error *error) MUST_CHECK;

#endif
