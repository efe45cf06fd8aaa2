/* For commands that look at a tables job through the public library. Main thread only. */
#ifndef CAIRN_CLI_ATTACH_H
#define CAIRN_CLI_ATTACH_H

#include "base/status.h"
#include "cairn.h"

/* How long servers may take to answer. */
#define ATTACH_PATIENCE_MS 10000

/* Attaches to a running job as a reader. Owns: *out is the caller's, cairn_close; set also on failure, unless
 * memory is out. Errors: as cairn_attach. */
enum status attach_reader(const char *coordinator, const char *job, cairn **out,
                          struct error *error) MUST_CHECK;

/* The library's status and line as ours. */
enum status attach_status(const cairn *connection, enum cairn_status status, struct error *error);

#endif
