/* The file that tells others on this machine where the coordinator can be reached. */
#ifndef CAIRN_COORDINATOR_ENDPOINT_H
#define CAIRN_COORDINATOR_ENDPOINT_H

#include "base/status.h"

/* Writes "ENDPOINT\n" to directory/endpoint at once or not at all, and gives the file's path.
 * Owns: *path is the caller's, for endpoint_remove. */
enum status endpoint_write(const char *directory, const char *endpoint, char **path,
                           struct error *error) MUST_CHECK;

/* Removes the file and frees the path. NULL is allowed. */
void endpoint_remove(char *path);

#endif
